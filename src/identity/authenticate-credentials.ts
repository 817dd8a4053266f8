/** Who a request is of, from all that it presents. Whatever cannot be said for certain is refused. */
import { createHash } from 'node:crypto';
import { BulkheadError } from '../errors.ts';
import { same } from './constant-time.ts';
import {
  API_KEY_PREFIX,
  type ApiKeyVerifier,
  type Authenticator,
  type CertificateVerifier,
  type PresentedCredentials,
} from './credentials.ts';
import { actFor } from './delegation.ts';
import { badProof, checkProof } from './dpop.ts';
import type { ReplayStore } from './replay-store.ts';
import type { VerifiedCaller, VerifiedToken } from './token-claims.ts';
import { refuse, UNVERIFIED } from './token-refusal.ts';
import type { TokenVerifier } from './verify-token.ts';

interface AuthenticatorParts {
  readonly tokens: Pick<TokenVerifier, 'examine'>;
  readonly replays: ReplayStore;
  /** Absent = no API key is one. */
  readonly apiKeys?: ApiKeyVerifier | undefined;
  /** Absent = a certificate alone says nothing. */
  readonly certificates?: CertificateVerifier | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export function createAuthenticator(parts: AuthenticatorParts): Authenticator {
  return {
    async authenticate(presented) {
      const { token, actorToken } = presented;
      if (token === undefined) return withoutToken(presented, parts);
      if (token.startsWith(API_KEY_PREFIX)) return withApiKey(token, presented, parts);
      const verified = await parts.tokens.examine(token);
      if (presented.scheme === 'DPoP' || verified.confirmation !== undefined)
        await checkPossession(verified, token, presented, parts);
      if (actorToken === undefined) return verified.caller;
      return actFor(verified.caller, await verifyActor(actorToken, presented, parts));
    },
  };
}

async function withoutToken(
  { actorToken, clientCertificate, proof }: PresentedCredentials,
  { certificates, now }: AuthenticatorParts,
): Promise<VerifiedCaller> {
  const isCertificateAlone = actorToken === undefined && proof === undefined;
  if (isCertificateAlone && clientCertificate !== undefined && certificates !== undefined)
    return certificates.verify(clientCertificate, now());
  throw new BulkheadError('missing_token', 'Send an access token as "Authorization: Bearer …".');
}

async function withApiKey(
  key: string,
  { scheme, actorToken }: PresentedCredentials,
  { apiKeys, now }: AuthenticatorParts,
): Promise<VerifiedCaller> {
  if (scheme === 'DPoP') throw refuse('An API key is sent as "Authorization: Bearer …".');
  if (actorToken !== undefined)
    throw refuse(
      'An API key is a service’s, and a service acts for a user: send the user’s token in Authorization.',
    );
  if (apiKeys === undefined) throw refuse(UNVERIFIED);
  return apiKeys.verify(key, now());
}

async function verifyActor(
  token: string,
  presented: PresentedCredentials,
  { tokens }: AuthenticatorParts,
): Promise<VerifiedCaller> {
  if (token.startsWith(API_KEY_PREFIX))
    throw refuse(
      'An API key cannot act for a user: send an access token of the service in Actor-Authorization.',
    );
  const { caller, confirmation } = await tokens.examine(token);
  if (confirmation?.proofKey !== undefined)
    throw refuse(
      'A token bound to a proof key cannot be an actor’s: there is one proof, and it is the user token’s.',
    );
  checkCertificate(confirmation?.certificate, presented);
  return caller;
}

/** `cnf` is never passed over: a token that is bound to a key comes with what proves the key, or it is refused. */
async function checkPossession(
  { confirmation }: VerifiedToken,
  token: string,
  presented: PresentedCredentials,
  { replays, now }: AuthenticatorParts,
): Promise<void> {
  checkCertificate(confirmation?.certificate, presented);
  const proofKey = confirmation?.proofKey;
  if (presented.scheme === 'Bearer' && proofKey === undefined) return;
  if (presented.scheme === 'Bearer')
    throw refuse('The token is bound to a key: send it as "Authorization: DPoP …" with a proof.');
  if (proofKey === undefined)
    throw refuse('The token is not bound to a key: send it as "Authorization: Bearer …".');
  const { proof, method, url } = presented;
  if (proof?.includes(',')) throw badProof('Send one proof.');
  await checkProof({ proof, token, method, url, boundTo: proofKey }, replays, now());
}

/** RFC 8705 §3: the certificate of the very connection. */
function checkCertificate(expected: string | undefined, { clientCertificate }: PresentedCredentials): void {
  if (expected === undefined) return;
  const shown = clientCertificate && createHash('sha256').update(clientCertificate.raw).digest('base64url');
  if (shown === undefined || !same(shown, expected))
    throw refuse('The token is bound to a client certificate (cnf) that this connection did not show.');
}
