import { z } from 'zod';
import { readSecret } from './secret-file.ts';

/** One claim, or several whose values joined by `:` make the id, as Entra's `tid` and `oid` do. */
const idClaims = z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(4)]);

const tenantSchema = z.union([
  z.string().min(1),
  z.strictObject({ claim: z.string().min(1), map: z.record(z.string().min(1), z.string().min(1)) }),
]);

const introspectionSchema = z
  .strictObject({
    /** Absent: found by discovery. */
    endpoint: z.url().optional(),
    clientId: z.string().min(1),
    clientSecretFile: z.string().min(1).optional(),
    /** PEM (PKCS #8), for `private_key_jwt` (RFC 7523). */
    privateKeyFile: z.string().min(1).optional(),
    keyAlgorithm: z.enum(['ES256', 'RS256', 'PS256', 'EdDSA']).default('ES256'),
    keyId: z.string().min(1).optional(),
    /** How opaque tokens of this issuer begin; needed as soon as a second issuer introspects. */
    tokenPrefix: z.string().min(1).max(64).optional(),
    cacheSeconds: z.number().int().min(0).max(60).default(30),
  })
  .refine(
    (it) => (it.clientSecretFile === undefined) !== (it.privateKeyFile === undefined),
    'give either clientSecretFile or privateKeyFile',
  );

const rightSchema = z.enum(['read', 'ingest', 'label', 'grant', 'audit', 'administer']);

/** What the file says of an issuer; the preset of its kind fills in the rest. */
export const issuerSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  kind: z.enum(['entra', 'okta', 'keycloak', 'auth0', 'google', 'oidc']).default('oidc'),
  tenant: tenantSchema,
  /** A URL; for several tenants of Entra with `{tid}` in the tenant's place. */
  issuer: z.string().min(1).max(512),
  audience: z.string().min(1),
  algorithms: z.array(z.string()).min(1).optional(),
  typ: z.array(z.string()).min(1).optional(),
  jwksUri: z.url().optional(),
  claims: z
    .strictObject({
      subject: idClaims.optional(),
      client: z.string().min(1).optional(),
      groups: z.string().min(1).optional(),
      scope: z.string().min(1).optional(),
      session: z.string().min(1).optional(),
      acr: z.string().min(1).optional(),
      authTime: z.string().min(1).optional(),
    })
    .prefault({}),
  groupSource: z.enum(['token', 'directory', 'both']).optional(),
  /** The directory holds every membership of the issuer's people, so it answers where a token could not say. */
  directoryAuthoritative: z.boolean().default(false),
  /** Which rights a scope gives; absent: scopes limit nothing. */
  scopes: z.record(z.string().min(1), z.array(rightSchema)).optional(),
  introspection: introspectionSchema.optional(),
  /** How many services may stand in a row between the user and the request. */
  maxActorDepth: z.number().int().min(0).max(5).optional(),
  /** Clients that hold users' tokens only to act for them, of a provider that does not write `act`. */
  actingClients: z.array(z.string().min(1)).optional(),
  clockToleranceSeconds: z.number().int().min(0).max(60).default(0),
  maxTokenAgeSeconds: z.number().int().positive().optional(),
});

type ParsedIssuer = z.infer<typeof issuerSchema>;

/** An issuer as configured, its secrets read. */
export interface IssuerConfig extends Omit<ParsedIssuer, 'introspection'> {
  readonly introspection?:
    | (Omit<z.infer<typeof introspectionSchema>, 'clientSecretFile' | 'privateKeyFile'> & {
        readonly clientSecret: string | undefined;
        /** PEM. */
        readonly privateKey: string | undefined;
      })
    | undefined;
}

/**
 * @param beside the configuration file, which relative paths of secrets start from
 * @throws BulkheadError `config_invalid` for a secret that cannot be read
 */
export function issuersOf(parsed: readonly ParsedIssuer[], beside: string): readonly IssuerConfig[] {
  return parsed.map(({ introspection, ...issuer }) => {
    if (introspection === undefined) return issuer;
    const { clientSecretFile, privateKeyFile, ...client } = introspection;
    const clientSecret = readSecret(clientSecretFile, beside);
    return {
      ...issuer,
      introspection: { ...client, clientSecret, privateKey: readSecret(privateKeyFile, beside) },
    };
  });
}
