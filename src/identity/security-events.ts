/** Security event tokens pushed by configured transmitters (RFC 8417, RFC 8935): who said it, and is it for us. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { isBulkheadError } from '../errors.ts';
import { instant } from '../policy/ids.ts';
import type { SecurityEvents } from '../store/security-events.ts';
import { createKeySource, type KeySource } from './key-source.ts';
import { parseProviderUrl } from './secure-url.ts';
import { readSignals } from './security-event-claims.ts';
import { SecurityEventRefused } from './security-event-refusal.ts';
import type { SubjectIssuer } from './security-event-subject.ts';

const TYP = 'secevent+jwt';
const MAX_ID = 512;
/** Seconds that a transmitter's clock may be ahead. */
const CLOCK_TOLERANCE_SECONDS = 60;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export interface Transmitter extends SubjectIssuer {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly audience: string;
  readonly tenant: string;
  readonly issuerName: string;
  readonly algorithms: readonly string[];
  readonly bearer: string | undefined;
  readonly maxAgeSeconds: number;
}

export interface SecurityEventVerifier {
  /**
   * @param authorization the request's header, for transmitters that have a secret beside their key
   * @throws SecurityEventRefused; BulkheadError `identity_unavailable` when the transmitter's keys cannot be had, and
   *   then the event has to be sent again
   */
  verify(token: string, authorization: string | undefined): Promise<SecurityEvents>;
}

interface VerifierOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: typeof fetch | undefined;
}

interface Known {
  readonly transmitter: Transmitter;
  readonly keys: KeySource;
}

/** @throws BulkheadError `config_invalid` for a key set that would be fetched without TLS */
export function createSecurityEventVerifier(
  transmitters: readonly Transmitter[],
  options: VerifierOptions,
): SecurityEventVerifier {
  const known = transmitters.map((transmitter) => ({ transmitter, keys: keysOf(transmitter, options) }));
  return {
    async verify(token, authorization) {
      const chosen = choose(known, token);
      const { transmitter } = chosen;
      try {
        checkBearer(transmitter, authorization);
        const payload = await verifySignature(chosen, token, options.now());
        return eventsOf(payload, transmitter, options.now());
      } catch (error) {
        throw refusalOf(error, transmitter);
      }
    },
  };
}

function keysOf({ issuer, jwksUri, ...transmitter }: Transmitter, options: VerifierOptions): KeySource {
  parseProviderUrl(jwksUri, `key set URL of the transmitter "${issuer}"`);
  const profile = {
    ...transmitter,
    issuer,
    jwksUri,
    name: issuer,
    typ: [TYP],
    claims: { subject: 'sub_id', client: 'iss', acr: 'acr', authTime: 'auth_time' },
    groupSource: 'directory',
    clockToleranceSeconds: CLOCK_TOLERANCE_SECONDS,
  } as const;
  return createKeySource(profile, { now: options.now, fetch: options.fetch ?? fetch });
}

/** What is not verified yet only chooses among the configured; every check is then made with that one's values. */
function choose(known: readonly Known[], token: string): Known {
  if (!COMPACT_JWS.test(token)) throw malformed();
  let claims: JWTPayload;
  try {
    const { typ, crit } = decodeProtectedHeader(token);
    const isEvent = [TYP, `application/${TYP}`].includes(String(typ).toLowerCase());
    if (!isEvent || crit !== undefined)
      throw new SecurityEventRefused('invalid_request', `The token is not of the type ${TYP}.`);
    claims = decodeJwt(token);
  } catch (error) {
    throw error instanceof SecurityEventRefused ? error : malformed();
  }
  const ofIssuer = known.filter(({ transmitter }) => transmitter.issuer === claims.iss);
  if (ofIssuer.length === 0)
    throw new SecurityEventRefused('invalid_issuer', 'No stream of this issuer is received here.');
  const audiences = [claims.aud].flat();
  const [chosen, ...others] = ofIssuer.filter(({ transmitter }) => audiences.includes(transmitter.audience));
  // for two streams at once it would be taken for one of them and lost for the other
  if (chosen === undefined || others.length > 0)
    throw new SecurityEventRefused(
      'invalid_audience',
      'The event is not for exactly one receiver here.',
      ofIssuer[0]?.transmitter,
    );
  return chosen;
}

/** Compared by hash, so that neither length nor beginning of the secret shows in the time it takes. */
function checkBearer({ bearer }: Transmitter, authorization: string | undefined): void {
  if (bearer === undefined) return;
  const presented = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? '';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(presented), digest(bearer)))
    throw new SecurityEventRefused(
      'authentication_failed',
      'The bearer token of the stream was not accepted.',
    );
}

async function verifySignature(
  { transmitter, keys }: Known,
  token: string,
  now: number,
): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, keys.resolve, {
    issuer: transmitter.issuer,
    audience: transmitter.audience,
    algorithms: [...transmitter.algorithms],
    typ: TYP,
    requiredClaims: ['iss', 'aud', 'iat', 'jti', 'events'],
    maxTokenAge: transmitter.maxAgeSeconds,
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
    currentDate: new Date(now),
  });
  return payload;
}

function eventsOf(payload: JWTPayload, transmitter: Transmitter, now: number): SecurityEvents {
  const { jti, iat = 0 } = payload;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_ID || jti.includes('\0'))
    throw new SecurityEventRefused('invalid_request', 'The claim jti is not an id.');
  const { issuer, tenant, maxAgeSeconds } = transmitter;
  const oldest = now - (maxAgeSeconds + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;
  return {
    transmitter: issuer,
    tenant,
    jti,
    issuedAt: instant(Math.floor(iat * 1000)),
    forgetBefore: instant(oldest),
    signals: readSignals(payload, { ...transmitter, latest: instant(now + CLOCK_TOLERANCE_SECONDS * 1000) }),
  };
}

/** jose's errors carry the claims, which are nobody's to log. */
function refusalOf(error: unknown, transmitter: Transmitter): Error {
  if (isBulkheadError(error)) return error;
  const { code, description } = error instanceof SecurityEventRefused ? error : ofJose(error);
  return new SecurityEventRefused(code, description, transmitter);
}

const UNKNOWN_KEY = new Set<string>([errors.JWKSNoMatchingKey.code, errors.JWKSMultipleMatchingKeys.code]);

function ofJose(error: unknown): SecurityEventRefused {
  if (error instanceof errors.JOSEError) {
    if (UNKNOWN_KEY.has(error.code))
      return new SecurityEventRefused(
        'invalid_key',
        'The event is signed with a key that its issuer does not publish.',
      );
    if (
      error.code === errors.JWSSignatureVerificationFailed.code ||
      error.code === errors.JOSEAlgNotAllowed.code
    )
      return new SecurityEventRefused('authentication_failed', 'The signature of the event does not verify.');
  }
  if (error instanceof errors.JWTExpired)
    return new SecurityEventRefused('invalid_request', 'The event is older than is accepted here.');
  if (error instanceof errors.JWTClaimValidationFailed)
    return new SecurityEventRefused(
      'invalid_request',
      `The claim "${error.claim}" of the event is not accepted.`,
    );
  return malformed();
}

function malformed(): SecurityEventRefused {
  return new SecurityEventRefused('invalid_request', 'The body is not a signed security event token.');
}
