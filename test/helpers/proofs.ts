import { createHash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import { NOW_SECONDS, newKey, type SigningKey } from './identity-issuer.ts';

/** Whoever holds a key that tokens are bound to. */
export interface ProofKey extends SigningKey {
  readonly thumbprint: string;
}

export async function newProofKey(): Promise<ProofKey> {
  const key = await newKey('proof');
  return { ...key, thumbprint: await calculateJwkThumbprint(key.publicJwk, 'sha256') };
}

export interface ProofRequest {
  readonly token: string;
  readonly method: string;
  readonly url: string;
  /** Seconds since 1970. */
  readonly now?: number;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** A proof as RFC 9449 §4.2 has it; a claim or header of `undefined` is left out. */
export function proofOf(key: ProofKey, request: ProofRequest): Promise<string> {
  const { kty, crv, x, y } = key.publicJwk;
  const claims = {
    jti: randomUUID(),
    htm: request.method,
    htu: request.url,
    iat: request.now ?? NOW_SECONDS,
    ath: createHash('sha256').update(request.token).digest('base64url'),
    ...request.claims,
  };
  return new SignJWT(claims)
    .setProtectedHeader({
      alg: 'ES256',
      typ: 'dpop+jwt',
      jwk: { kty, crv, x, y } as never,
      ...request.header,
    })
    .sign(key.privateKey);
}
