/** Services that show a client certificate: SPIFFE X.509 SVIDs, and subjects of an installation's own authority. */
import { createHash, X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BulkheadError } from '../errors.ts';
import { instant } from '../policy/ids.ts';
import { parsePrincipal } from '../policy/principal.ts';
import type { CredentialRight } from '../store/authority.ts';
import { type CertificateNames, readCertificateNames } from './certificate-names.ts';
import type { CertificateVerifier, ClientCertificate } from './credentials.ts';
import { type DistinguishedName, isSameName, parseDistinguishedName } from './distinguished-name.ts';
import type { VerifiedCaller } from './token-claims.ts';
import { refuse } from './token-refusal.ts';

/** Whom one trust bundle vouches for; see config/services.ts. */
export interface CertificateSource {
  readonly name: string;
  readonly tenant: string;
  /** PEM, of one or more authorities. */
  readonly bundle: string;
  readonly accept: readonly AcceptedName[];
}

type AcceptedName = {
  readonly service?: string | undefined;
  readonly rights?: readonly CredentialRight[] | undefined;
} & ({ readonly spiffe: string } | { readonly subject: string });

export interface ClientCertificates extends CertificateVerifier {
  /** PEM of every authority: what the listener verifies connections against. */
  authorities(): readonly string[];
  /**
   * From now on these. Connections that are open are held against them with their next request.
   * @throws BulkheadError `config_invalid`, and the present ones stay
   */
  renew(sources: readonly CertificateSource[]): void;
}

interface Source {
  readonly name: string;
  readonly tenant: string;
  readonly authorities: readonly X509Certificate[];
  readonly bySpiffe: ReadonlyMap<string, Accepted>;
  readonly bySubject: readonly (Accepted & { readonly subject: DistinguishedName })[];
}

interface Accepted {
  readonly service: string;
  readonly rights: ReadonlySet<CredentialRight> | undefined;
}

interface Verified {
  readonly caller: VerifiedCaller;
  /** Milliseconds since 1970; the path holds from the first to the second, both included (RFC 5280 §4.1.2.5). */
  readonly from: number;
  readonly until: number;
}

const CACHED = 1_000;
const LONGEST_PATH = 8;
const REFUSED = 'The client certificate is not accepted here.';

/**
 * The listener's handshake has verified the certificate, with all that RFC 5280 asks, against the authorities of every
 * source together. Here the path is followed once more to the bundle of the one source that accepts the name: an
 * authority vouches for its own services alone.
 * @throws BulkheadError `config_invalid`
 */
export function createClientCertificates(given: readonly CertificateSource[]): ClientCertificates {
  let sources = given.map(readSource);
  const cache = new LRUCache<string, Verified>({ max: CACHED });

  return {
    authorities: () => sources.flatMap(({ authorities }) => authorities.map(String)),
    renew: (renewed) => {
      sources = renewed.map(readSource);
      cache.clear();
    },
    verify: async (certificate, now) => {
      const key = digestOf([certificate.raw, ...certificate.issuers]);
      const known = cache.get(key) ?? verifyPath(sources, certificate);
      // for each request: a connection may outlive the certificate that it began with
      if (now < known.from || now > known.until) throw refuse('The client certificate is not valid now.');
      cache.set(key, known);
      return known.caller;
    },
  };
}

function readSource({ name, tenant, bundle, accept }: CertificateSource): Source {
  const authorities = readBundle(name, bundle);
  const bySpiffe = new Map<string, Accepted>();
  const bySubject: (Accepted & { readonly subject: DistinguishedName })[] = [];
  for (const entry of accept) {
    refuseId(name, entry.service ?? ('spiffe' in entry ? entry.spiffe : entry.subject));
    const rights = entry.rights && new Set(entry.rights);
    if ('spiffe' in entry) {
      if (bySpiffe.has(entry.spiffe)) throw wrong(name, `${entry.spiffe} is there twice`);
      bySpiffe.set(entry.spiffe, { service: entry.service ?? entry.spiffe, rights });
      continue;
    }
    const subject = parseDistinguishedName(entry.subject);
    if (subject === undefined) throw wrong(name, `"${entry.subject}" is no subject (RFC 4514)`);
    if (bySubject.some((other) => isSameName(other.subject, subject)))
      throw wrong(name, `"${entry.subject}" is there twice`);
    bySubject.push({ subject, service: entry.service ?? entry.subject, rights });
  }
  return { name, tenant, authorities, bySpiffe, bySubject };
}

function refuseId(name: string, id: string): void {
  if (parsePrincipal(`service:${name}|${id}`) === undefined)
    throw wrong(name, `"${id}" cannot be a service's id, so give one as "service"`);
}

function readBundle(name: string, bundle: string): readonly X509Certificate[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw wrong(name, 'the bundle holds no certificate');
  return blocks.map((pem) => {
    const authority = parse(pem, () => wrong(name, 'the bundle holds a certificate that cannot be read'));
    if (!authority.ca) throw wrong(name, 'the bundle holds a certificate that is no authority’s');
    return authority;
  });
}

function verifyPath(sources: readonly Source[], { raw, issuers }: ClientCertificate): Verified {
  const leaf = parse(raw, () => refuse(REFUSED));
  const names = namesOf(raw);
  if (leaf.ca || names.mayIssue) throw refuse(REFUSED);
  const links = issuers.map((der) => parse(der, () => refuse(REFUSED)));
  const found = sources.flatMap((source) => {
    const accepted = acceptedBy(source, names);
    const path = accepted && pathTo(leaf, links, source.authorities);
    return accepted && path ? [{ source, accepted, path }] : [];
  });
  const [only, ...more] = found;
  // two sources that both vouch for it do not agree on who it is
  if (only === undefined || more.length > 0) throw refuse(REFUSED);
  return verified(only.source, only.accepted, only.path, raw);
}

function namesOf(raw: Uint8Array): CertificateNames {
  try {
    return readCertificateNames(raw);
  } catch {
    throw refuse(REFUSED);
  }
}

/**
 * An SVID names one workload, by exactly one URI (SPIFFE X509-SVID §2), and its subject says nothing. A certificate
 * without a SPIFFE id is its subject.
 */
function acceptedBy(source: Source, { uris, subject }: CertificateNames): Accepted | undefined {
  if (!uris.some((uri) => /^spiffe:/i.test(uri)))
    return source.bySubject.find((entry) => isSameName(entry.subject, subject));
  const [id, ...others] = uris;
  return id === undefined || others.length > 0 ? undefined : source.bySpiffe.get(id);
}

/** From the certificate to one of the authorities, by the links that were presented. */
function pathTo(
  leaf: X509Certificate,
  links: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  const path = [leaf];
  while (path.length < LONGEST_PATH) {
    const last = path.at(-1) ?? leaf;
    const authority = authorities.find((issuer) => isIssuedBy(last, issuer));
    if (authority !== undefined) return [...path, authority];
    const next = links.find((issuer) => !path.includes(issuer) && isIssuedBy(last, issuer));
    if (next === undefined) return undefined;
    path.push(next);
  }
  return undefined;
}

/** Names, key identifiers and key usage fit, and the signature is the issuer's. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function verified(
  source: Source,
  { service, rights }: Accepted,
  path: readonly X509Certificate[],
  raw: Uint8Array,
): Verified {
  const from = Math.max(...path.map(({ validFrom }) => Date.parse(validFrom)));
  // the last second counts whole
  const until = Math.min(...path.map(({ validTo }) => Date.parse(validTo) + 999));
  const [leaf] = path;
  const issuedAt = instant(leaf === undefined ? from : Date.parse(leaf.validFrom));
  if (Number.isNaN(from) || Number.isNaN(until)) throw refuse(REFUSED);
  const caller: VerifiedCaller = {
    issuer: source.name,
    tenant: source.tenant,
    kind: 'service',
    id: service,
    // a certificate carries none: its service's groups are the directory's
    groups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
    expiresAt: until,
    tokenId: digestOf([raw]),
    revocable: [{ kind: 'client', id: `${source.name}|${service}`, issuedAt }],
    rights,
  };
  return { caller, from, until };
}

function digestOf(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('base64url');
}

function parse(encoded: string | Uint8Array, error: () => Error): X509Certificate {
  try {
    return new X509Certificate(encoded);
  } catch {
    throw error();
  }
}

function wrong(name: string, what: string): BulkheadError {
  return new BulkheadError('config_invalid', `services.certificates, ${name}: ${what}.`);
}
