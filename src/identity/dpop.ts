/** Proofs of possession (RFC 9449): that whoever sends a token holds the key that it was issued to. */
import { createHash } from 'node:crypto';
import {
  calculateJwkThumbprint,
  decodeProtectedHeader,
  EmbeddedJWK,
  type JWK,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { same } from './constant-time.ts';
import type { ReplayStore } from './replay-store.ts';

/** Also told to clients, in challenges and metadata. */
export const PROOF_ALGORITHMS: readonly string[] = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'RS256',
];

const MAX_PROOF_LENGTH = 4_096;
const MAX_JTI_LENGTH = 256;
/** A proof is for one request: it is made just before, and clocks differ a little. */
export const PROOF_LIFETIME_MS = 60_000;
const MAX_AHEAD_MS = 5_000;
/** Members of a private or a symmetric key (RFC 7518 §6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

interface PresentedProof {
  /** The `DPoP` header, as it came. */
  readonly proof: string | undefined;
  readonly token: string;
  readonly method: string;
  /** As callers see it. */
  readonly url: URL;
  /** Thumbprint of the key that the token is bound to (`cnf.jkt`). */
  readonly boundTo: string;
}

/**
 * Checks a proof in the order of RFC 9449 §4.3, and uses it up.
 * @param now milliseconds since 1970
 * @throws BulkheadError `invalid_token` with the challenge `invalid_dpop_proof`; `replay_check_unavailable`
 */
export async function checkProof(
  presented: PresentedProof,
  replays: ReplayStore,
  now: number,
): Promise<void> {
  const { proof, boundTo } = presented;
  if (proof === undefined) throw badProof('A token like this comes with a proof in the header DPoP.');
  const { payload, jwk } = await verifySignature(proof);
  checkRequest(payload, presented);
  const issuedAt = (payload.iat ?? 0) * 1000;
  if (!(issuedAt > now - PROOF_LIFETIME_MS && issuedAt <= now + MAX_AHEAD_MS))
    throw badProof('The proof was not made just now.');
  if (!same(await calculateJwkThumbprint(jwk, 'sha256'), boundTo))
    throw badProof('The proof was made with another key than the token is bound to.');
  const isNew = await replays.use(useOf(boundTo, payload), issuedAt + PROOF_LIFETIME_MS, now);
  if (!isNew) throw badProof('The proof was used before.');
}

/** The key's own header proves nothing but that whoever made the proof holds it; the token says whose it has to be. */
async function verifySignature(proof: string): Promise<{ payload: JWTPayload; jwk: JWK }> {
  if (proof.length > MAX_PROOF_LENGTH) throw badProof('The proof is longer than 4 KB.');
  try {
    const { jwk } = decodeProtectedHeader(proof);
    if (jwk === undefined || PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
      throw badProof('The proof must carry the public key that made it, and nothing of the private one.');
    const { payload } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: [...PROOF_ALGORITHMS],
      requiredClaims: ['jti', 'htm', 'htu', 'iat', 'ath'],
      // of when it was made `checkProof` knows more
      currentDate: new Date(0),
      clockTolerance: Number.MAX_SAFE_INTEGER,
    });
    return { payload, jwk };
  } catch (error) {
    throw isBulkheadError(error)
      ? error
      : badProof('The proof is malformed, or its signature does not verify.');
  }
}

function checkRequest(payload: JWTPayload, { method, url, token }: PresentedProof): void {
  const { jti, htm, htu, iat, ath } = payload;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    throw badProof('The proof has no id of its own that could be remembered.');
  if (typeof iat !== 'number' || !Number.isFinite(iat))
    throw badProof('The proof does not say when it was made.');
  if (htm !== method) throw badProof('The proof was made for another method.');
  if (typeof htu !== 'string' || withoutQuery(htu) !== withoutQuery(url.href))
    throw badProof('The proof was made for another address.');
  const expected = createHash('sha256').update(token).digest('base64url');
  if (typeof ath !== 'string' || !same(ath, expected))
    throw badProof('The proof was made for another token.');
}

/** RFC 9449 §4.3: normalized, and query and fragment ignored. */
function withoutQuery(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.origin + url.pathname;
}

function useOf(boundTo: string, { jti, htu, htm }: JWTPayload): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify([boundTo, jti, htm, htu]))
    .digest();
}

export function badProof(detail: string): BulkheadError {
  return new BulkheadError('invalid_token', detail, { challenge: { error: 'invalid_dpop_proof' } });
}
