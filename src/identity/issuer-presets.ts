/** What the big identity providers' access tokens look like, and which of their habits must not be believed. */
import type { IssuerProfile, ProviderKind } from './issuer-profile.ts';

type Claims = Readonly<Record<string, unknown>>;
type Defaults = Pick<IssuerProfile, 'algorithms' | 'typ' | 'claims' | 'groupSource'>;

interface Provider {
  readonly defaults: Defaults;
  /** Whether the token is of a client itself and not of a person. */
  readonly isService: (claims: Claims, profile: IssuerProfile) => boolean;
  /** What is wrong with the claims of a token that verified; the sentence is for its holder. */
  readonly refuses: (claims: Claims) => string | undefined;
  /** What is wrong with a configuration, as what follows "the issuer". */
  readonly forbids: (profile: IssuerProfile) => string | undefined;
  /** A list of this many groups may have been cut off. */
  readonly groupLimit?: number;
  /** What is wrong with a group of the token. */
  readonly refusesGroup?: (group: string) => string | undefined;
  /** Ids that hold `|`, which divides a principal, are written with it escaped. */
  readonly escapesIds?: true;
}

const COMMON_CLAIMS = { scope: 'scope', session: 'sid', acr: 'acr', authTime: 'auth_time' } as const;
const nothing = () => undefined;

/** RFC 9068 §2.2: the subject of a token that no person took part in is the client. */
const subjectIsClient = (claims: Claims, { claims: names }: IssuerProfile) =>
  typeof names.subject === 'string' && claims[names.subject] === claims[names.client];

/** Any provider that follows RFC 9068. */
const oidc: Provider = {
  defaults: {
    algorithms: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    typ: ['at+jwt'],
    claims: { ...COMMON_CLAIMS, subject: 'sub', client: 'client_id' },
    groupSource: 'directory',
  },
  isService: subjectIsClient,
  refuses: nothing,
  forbids: nothing,
};

const GUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const ENTRA_ISSUER = new RegExp(
  `^https://(login\\.microsoftonline\\.(com|us)/(${GUID}|\\{tid\\})/v2\\.0|sts\\.windows\\.net/(${GUID}|\\{tid\\})/)$`,
);

/**
 * Microsoft Entra ID: `typ` is always JWT, `oid` is unique only within `tid`, addresses are unverified (nOAuth), and
 * past 200 groups the list is replaced by a pointer.
 */
const entra: Provider = {
  defaults: {
    algorithms: ['RS256'],
    typ: ['JWT', 'at+jwt'],
    claims: {
      ...COMMON_CLAIMS,
      subject: ['tid', 'oid'],
      client: 'azp',
      service: ['tid', 'azp'],
      scope: 'scp',
      groups: 'groups',
    },
    groupSource: 'both',
  },
  isService: (claims) =>
    claims.idtyp === 'app' ||
    (claims.idtyp === undefined && claims.scp === undefined && claims.oid === claims.sub),
  refuses: (claims) => {
    if (typeof claims.tid !== 'string' || typeof claims.iss !== 'string' || !claims.iss.includes(claims.tid))
      return 'The tenant in the token is not the one that its issuer names.';
    const isAccess = claims.scp !== undefined || claims.roles !== undefined || claims.idtyp === 'app';
    return isAccess ? undefined : 'The token is not an access token of the type this issuer sends.';
  },
  forbids: ({ issuer, claims, tenant }) => {
    if (!ENTRA_ISSUER.test(issuer))
      return 'needs the URL https://login.microsoftonline.com/<tenant id>/v2.0, or {tid} in the place of the id';
    if (typeof claims.subject === 'string' || claims.subject.join() !== 'tid,oid')
      return 'must tell people apart by tid and oid together';
    const several = issuer.includes('{tid}');
    if (several && (typeof tenant === 'string' || tenant.claim !== 'tid'))
      return 'has {tid} in its URL and so must map the claim tid to tenants';
    return undefined;
  },
};

/**
 * Okta: `sub` is the login, which can be renamed and given again; `uid` stays. A group claim made by a function ends
 * after 100 without saying so. Tokens of the org's own server are not for others to read.
 */
const okta: Provider = {
  defaults: {
    algorithms: ['RS256'],
    typ: ['at+jwt', 'JWT', 'absent'],
    claims: { ...COMMON_CLAIMS, subject: 'uid', client: 'cid', scope: 'scp', groups: 'groups' },
    groupSource: 'both',
  },
  isService: (claims) => claims.uid === undefined && claims.sub !== undefined && claims.sub === claims.cid,
  refuses: nothing,
  forbids: ({ issuer, claims, introspection }) => {
    if (claims.subject !== 'uid') return 'must tell people apart by uid: the subject is a login';
    return introspection === undefined && !new URL(issuer).pathname.startsWith('/oauth2/')
      ? "is the org's own server, whose tokens nobody else can verify: use /oauth2/<authorization server>"
      : undefined;
  },
  groupLimit: 100,
};

/**
 * Keycloak: `typ` in the header is JWT for every token, the claim `typ` tells them apart. Groups are paths, and their
 * last part names nothing: `/tenant-b/admin` is not `admin`.
 */
const keycloak: Provider = {
  defaults: {
    algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
    typ: ['JWT', 'at+jwt'],
    claims: { ...COMMON_CLAIMS, subject: 'sub', client: 'azp', service: 'azp', groups: 'groups' },
    groupSource: 'both',
  },
  // a session note that only the login of a service account leaves; a mapper may write it into people's tokens too,
  // which name the person or their session
  isService: ({ client_id: client, azp, preferred_username: name, sid }) =>
    typeof client === 'string' &&
    client === azp &&
    (name === undefined ? sid === undefined : name === `service-account-${client.toLowerCase()}`),
  refuses: (claims) =>
    claims.typ === 'Bearer' || claims.typ === 'DPoP'
      ? undefined
      : 'The token is not an access token of the type this issuer sends.',
  forbids: ({ audience }) =>
    audience === 'account' ? 'has the audience account, which every token of the realm has' : undefined,
  refusesGroup: (group) =>
    group.startsWith('/')
      ? undefined
      : 'The group claim must hold full paths: turn on "full group path" in its mapper.',
};

/**
 * Auth0: `user_metadata` is the user's to edit, subjects hold `|`, and only claims under a URL of one's own are added
 * on purpose.
 */
const auth0: Provider = {
  defaults: {
    algorithms: ['RS256', 'PS256'],
    typ: ['at+jwt', 'JWT'],
    claims: { ...COMMON_CLAIMS, subject: 'sub', client: 'azp', service: 'azp' },
    groupSource: 'directory',
  },
  isService: (claims) =>
    claims.gty === 'client-credentials' && claims.sub === `${String(claims.azp)}@clients`,
  refuses: nothing,
  forbids: ({ claims }) =>
    claims.groups === undefined || /^https:\/\/[^/]+\//.test(claims.groups)
      ? undefined
      : 'needs a group claim under a URL of yours, as in https://firm.example/groups',
  escapesIds: true,
};

/**
 * Google: its access tokens are opaque and not about others' APIs; what verifies here are the tokens that it signs for
 * service accounts, with this service as their audience. It says nothing about groups.
 */
const google: Provider = {
  defaults: {
    algorithms: ['RS256'],
    typ: ['JWT'],
    claims: { ...COMMON_CLAIMS, subject: 'sub', client: 'azp' },
    groupSource: 'directory',
  },
  isService: subjectIsClient,
  refuses: nothing,
  forbids: ({ issuer, groupSource, claims, audience }) => {
    if (issuer !== 'https://accounts.google.com')
      return 'has the URL https://accounts.google.com, and no other';
    if (claims.subject !== 'sub') return 'must tell people apart by sub';
    if (audience.endsWith('.apps.googleusercontent.com'))
      return 'has the audience of a sign-in client, so that an ID token would be taken for an access token';
    return groupSource === 'directory' && claims.groups === undefined
      ? undefined
      : 'sends no groups: take them from the directory';
  },
};

export const PROVIDERS: Readonly<Record<ProviderKind, Provider>> = {
  entra,
  okta,
  keycloak,
  auth0,
  google,
  oidc,
};

/** An issuer as the configuration has it: what it leaves out is its kind's. */
export type ConfiguredIssuer = Omit<
  IssuerProfile,
  'kind' | 'algorithms' | 'typ' | 'claims' | 'groupSource'
> & {
  readonly kind: ProviderKind;
  readonly claims: { readonly [K in keyof IssuerProfile['claims']]?: IssuerProfile['claims'][K] | undefined };
} & { readonly [K in 'algorithms' | 'typ' | 'groupSource']?: IssuerProfile[K] | undefined };

/** For several tenants of Entra at once, whose keys are published in one place. */
const ENTRA_KEYS = 'https://login.microsoftonline.com/common/discovery/v2.0/keys';

/** Lays what the configuration says over the preset. Whether it may say so, `profilesByIssuer` checks. */
export function profileOf(configured: ConfiguredIssuer): IssuerProfile {
  const { algorithms, typ, claims, groupSource, ...rest } = configured;
  const { defaults } = PROVIDERS[configured.kind];
  const given = Object.fromEntries(Object.entries(claims).filter(([, name]) => name !== undefined));
  const isTemplate = configured.kind === 'entra' && configured.issuer.includes('{tid}');
  return {
    ...rest,
    algorithms: algorithms ?? defaults.algorithms,
    typ: typ ?? defaults.typ,
    claims: { ...defaults.claims, ...given },
    groupSource: groupSource ?? defaults.groupSource,
    jwksUri: configured.jwksUri ?? (isTemplate ? ENTRA_KEYS : undefined),
  };
}
