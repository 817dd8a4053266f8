import { createHash, createHmac } from 'node:crypto';
import { exportJWK } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BulkheadError } from '../../src/errors.ts';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import type { Authenticator, PresentedCredentials } from '../../src/identity/credentials.ts';
import { PROOF_LIFETIME_MS } from '../../src/identity/dpop.ts';
import { MemoryReplayStore, type ReplayStore } from '../../src/identity/replay-store.ts';
import { createTokenVerifier } from '../../src/identity/verify-token.ts';
import { UsedProofs } from '../../src/store/used-proofs.ts';
import { openTestAudit, type TestAudit } from '../helpers/audit.ts';
import {
  IssuerServer,
  NOW_SECONDS,
  newKey,
  type SigningKey,
  unsignedToken,
} from '../helpers/identity-issuer.ts';
import { newProofKey, type ProofKey, type ProofRequest, proofOf } from '../helpers/proofs.ts';

const URL_ASKED = 'https://bulkhead.example/v1/retrieve';

let server: IssuerServer;
let key: SigningKey;
let holder: ProofKey;
let now: number;
let bound: string;
let authenticator: Authenticator;

beforeEach(async () => {
  server = await IssuerServer.start();
  key = await newKey('key-1');
  holder = await newProofKey();
  server.published = [key];
  now = NOW_SECONDS * 1000;
  bound = await server.sign(key, { cnf: { jkt: holder.thumbprint } });
  authenticator = authenticatorWith(new MemoryReplayStore());
});

afterEach(() => server.close());

function authenticatorWith(replays: ReplayStore): Authenticator {
  const tokens = createTokenVerifier([server.profile()], { now: () => now });
  return createAuthenticator({ tokens, replays, now: () => now });
}

function present(changes: Partial<PresentedCredentials>): PresentedCredentials {
  return {
    scheme: 'DPoP',
    token: bound,
    method: 'POST',
    url: new URL(URL_ASKED),
    address: undefined,
    ...changes,
  };
}

async function sent(request: Partial<ProofRequest> = {}, changes: Partial<PresentedCredentials> = {}) {
  const proof = await proofOf(holder, { token: bound, method: 'POST', url: URL_ASKED, ...request });
  return authenticator.authenticate(present({ proof, ...changes }));
}

async function expectRefused(attempt: Promise<unknown>, detail: RegExp, challenge?: string) {
  const error = (await attempt.then(
    () => new Error('It was accepted.'),
    (thrown: unknown) => thrown,
  )) as BulkheadError;
  expect(error).toMatchObject({ code: 'invalid_token', status: 401 });
  expect(error.detail).toMatch(detail);
  expect(error.challenge?.error).toBe(challenge);
}

const expectBadProof = (attempt: Promise<unknown>, detail: RegExp) =>
  expectRefused(attempt, detail, 'invalid_dpop_proof');

describe('a token that is bound to a proof key', () => {
  it('is its holder’s to use, once with each proof', async () => {
    expect(await sent()).toMatchObject({ kind: 'user', id: 'anna.keller' });
    expect(await sent()).toMatchObject({ id: 'anna.keller' });
  });

  it('is refused as a bearer token, with a proof beside it or without', async () => {
    await expectRefused(sent({}, { scheme: 'Bearer' }), /DPoP/);
    await expectRefused(authenticator.authenticate(present({ scheme: 'Bearer' })), /DPoP/);
  });

  it('is refused without a proof', async () => {
    await expectBadProof(authenticator.authenticate(present({})), /comes with a proof/);
  });

  it('is refused with a proof by another key', async () => {
    const thief = await newProofKey();
    const proof = await proofOf(thief, { token: bound, method: 'POST', url: URL_ASKED });
    await expectBadProof(authenticator.authenticate(present({ proof })), /another key/);
  });

  it('is refused again when its proof is replayed', async () => {
    const proof = await proofOf(holder, { token: bound, method: 'POST', url: URL_ASKED });
    await authenticator.authenticate(present({ proof }));
    await expectBadProof(authenticator.authenticate(present({ proof })), /used before/);
    now += 59_000;
    await expectBadProof(authenticator.authenticate(present({ proof })), /used before/);
    now += 1_000;
    await expectBadProof(authenticator.authenticate(present({ proof })), /just now/);
  });
});

describe('a proof', () => {
  it.each<[string, Partial<ProofRequest>, RegExp]>([
    ['for another method', { method: 'GET' }, /method/],
    ['for the method in small letters', { method: 'post' }, /method/],
    ['for another path', { url: 'https://bulkhead.example/v1/documents' }, /address/],
    ['for another host', { url: 'https://evil.example/v1/retrieve' }, /address/],
    ['for the address without TLS', { url: 'http://bulkhead.example/v1/retrieve' }, /address/],
    ['for no address', { url: 'retrieve' }, /address/],
    ['for another token', { token: 'x.y.z' }, /another token/],
    ['made a minute ago', { now: NOW_SECONDS - 60 }, /just now/],
    ['made in the future', { now: NOW_SECONDS + 6 }, /just now/],
    ['without a time', { claims: { iat: undefined } }, /malformed/],
    ['with a time that is a word', { claims: { iat: 'now' } }, /malformed/],
    ['without an id', { claims: { jti: undefined } }, /malformed/],
    ['with an empty id', { claims: { jti: '' } }, /id of its own/],
    ['with an id of a kilobyte', { claims: { jti: 'j'.repeat(1024) } }, /id of its own/],
    ['without the token’s hash', { claims: { ath: undefined } }, /malformed/],
    ['of the type JWT', { header: { typ: 'JWT' } }, /malformed/],
    ['without its key', { header: { jwk: undefined } }, /public key/],
    ['with an extension that must be known', { header: { crit: ['x'], x: 1 } }, /malformed/],
  ])('%s is refused', async (_, request, detail) => {
    if (request.header?.crit !== undefined) {
      const [header = '', payload, signature] = (
        await proofOf(holder, { token: bound, method: 'POST', url: URL_ASKED })
      ).split('.');
      const known = JSON.parse(Buffer.from(header, 'base64url').toString());
      const changed = Buffer.from(JSON.stringify({ ...known, ...request.header })).toString('base64url');
      const proof = `${changed}.${payload}.${signature}`;
      return expectBadProof(authenticator.authenticate(present({ proof })), detail);
    }
    await expectBadProof(sent(request), detail);
  });

  it('with its private key in it is refused', async () => {
    const jwk = await exportJWK(holder.privateKey);
    await expectBadProof(sent({ header: { jwk } }), /nothing of the private one/);
  });

  it('by alg none, or by HS256 with the public key as its secret, is refused', async () => {
    const { kty, crv, x, y } = holder.publicJwk;
    const claims = { jti: 'j', htm: 'POST', htu: URL_ASKED, iat: NOW_SECONDS };
    const ath = createHash('sha256').update(bound).digest('base64url');
    const none = unsignedToken({ alg: 'none', typ: 'dpop+jwt', jwk: { kty, crv, x, y } }, { ...claims, ath });
    await expectBadProof(authenticator.authenticate(present({ proof: none })), /malformed/);
    const input = unsignedToken(
      { alg: 'HS256', typ: 'dpop+jwt', jwk: { kty: 'oct', k: 'AAAA' } },
      { ...claims, ath },
    );
    const mac = createHmac('sha256', Buffer.from('AAAA', 'base64url'))
      .update(input.slice(0, -1))
      .digest('base64url');
    await expectBadProof(authenticator.authenticate(present({ proof: input + mac })), /public key/);
  });

  it('sent twice, or longer than 4 KB, is refused', async () => {
    const proof = await proofOf(holder, { token: bound, method: 'POST', url: URL_ASKED });
    await expectBadProof(authenticator.authenticate(present({ proof: `${proof}, ${proof}` })), /one proof/);
    await expectBadProof(sent({ claims: { more: 'x'.repeat(5_000) } }), /4 KB/);
  });

  it('may name the address with a query, and in another spelling of the same', async () => {
    expect(await sent({ url: 'https://BULKHEAD.example:443/v1/retrieve?x=1#y' })).toMatchObject({
      kind: 'user',
    });
  });

  it('does not make a token its holder’s that is not bound', async () => {
    const token = await server.sign(key);
    await expectRefused(sent({ token }, { token }), /not bound/);
  });
});

describe('a token that is bound to a certificate', () => {
  const raw = new TextEncoder().encode('a certificate');
  const thumbprint = createHash('sha256').update(raw).digest('base64url');

  it('is taken over a connection that showed that certificate, and over no other', async () => {
    const token = await server.sign(key, { cnf: { 'x5t#S256': thumbprint } });
    const shown = (der: Uint8Array | undefined) =>
      authenticator.authenticate(
        present({ scheme: 'Bearer', token, clientCertificate: der && { raw: der, issuers: [] } }),
      );
    expect(await shown(raw)).toMatchObject({ kind: 'user' });
    await expectRefused(shown(undefined), /client certificate/);
    await expectRefused(shown(new TextEncoder().encode('another')), /client certificate/);
  });

  it('and to a proof key needs both', async () => {
    const token = await server.sign(key, { cnf: { 'x5t#S256': thumbprint, jkt: holder.thumbprint } });
    await expectRefused(sent({ token }, { token }), /client certificate/);
    const clientCertificate = { raw, issuers: [] };
    await expectRefused(
      authenticator.authenticate(present({ scheme: 'Bearer', token, clientCertificate })),
      /DPoP/,
    );
    expect(await sent({ token }, { token, clientCertificate })).toMatchObject({ kind: 'user' });
  });

  it.each([
    {},
    null,
    'x',
    [],
    { jkt: 7 },
    { jkt: 'short' },
    { kid: 'k' },
    { jwk: {} },
    { jkt: 'a'.repeat(43), kid: 'k' },
  ])('in a way that nobody here checks (%j) is refused', async (cnf) => {
    const token = await server.sign(key, { cnf });
    await expectRefused(sent({ token }, { token }), /cnf/);
    await expectRefused(authenticator.authenticate(present({ scheme: 'Bearer', token })), /cnf/);
  });
});

describe('the memory of used proofs', () => {
  const id = (n: number) => createHash('sha256').update(String(n)).digest();

  it('refuses what is new when it is full, until something has expired', async () => {
    const store = new MemoryReplayStore(2);
    expect(await store.use(id(1), now + 60_000, now)).toBe(true);
    expect(await store.use(id(2), now + 60_000, now)).toBe(true);
    expect(await store.use(id(1), now + 60_000, now)).toBe(false);
    await expect(store.use(id(3), now + 60_000, now)).rejects.toMatchObject({ status: 503 });
    expect(await store.use(id(3), now + 120_000, now + 61_000)).toBe(true);
  });

  it('that began anew takes no proof that the one before it may have seen', async () => {
    const proof = await proofOf(holder, { token: bound, method: 'POST', url: URL_ASKED });
    const before = authenticatorWith(new MemoryReplayStore());
    await before.authenticate(present({ proof }));
    now += 2_000;
    authenticator = authenticatorWith(MemoryReplayStore.since(now, PROOF_LIFETIME_MS));
    await expectBadProof(authenticator.authenticate(present({ proof })), /used before/);
    await sent({ now: NOW_SECONDS + 2 });
  });

  it('that does not answer lets nobody in', async () => {
    const { BulkheadError } = await import('../../src/errors.ts');
    authenticator = authenticatorWith({
      use: () => Promise.reject(new BulkheadError('replay_check_unavailable', 'Down.')),
    });
    await expect(sent()).rejects.toMatchObject({ code: 'replay_check_unavailable', status: 503 });
  });

  it('is not asked before token and proof have verified, so that nobody else can fill it', async () => {
    let asked = 0;
    authenticator = authenticatorWith({ use: async () => ++asked > 0 });
    await expectBadProof(sent({ method: 'GET' }), /method/);
    await expect(sent({}, { token: `${bound.slice(0, -4)}AAAA` })).rejects.toThrow();
    expect(asked).toBe(0);
    await sent();
    expect(asked).toBe(1);
  });
});

describe('the memory of used proofs in the database', () => {
  let store: TestAudit;
  beforeEach(async () => {
    store = await openTestAudit();
  });
  afterEach(() => store.close());

  it('takes each proof once, whoever asks first, in every role that answers callers', async () => {
    const at = Date.now();
    for (const role of ['retrieve', 'ingest', 'admin', 'audit'] as const) {
      const proofs = new UsedProofs(store.database, role);
      const id = createHash('sha256').update(role).digest();
      const uses = await Promise.all([1, 2, 3].map(() => proofs.use(id, at + 60_000, at)));
      expect(uses.filter(Boolean)).toHaveLength(1);
      expect(await new UsedProofs(store.database, 'retrieve').use(id, at + 60_000, at)).toBe(false);
    }
  });

  it('is not to be read, filled or emptied by a role itself, nor made to remember for days', async () => {
    const { sql } = await import('kysely');
    for (const statement of ['select * from', 'delete from', 'insert into'])
      await expect(
        store.database.statement(
          'retrieve',
          undefined,
          sql.raw(`${statement} bulkhead.used_proof ${statement === 'insert into' ? 'default values' : ''}`),
        ),
      ).rejects.toThrow(/42501/);
    const at = Date.now();
    const proofs = new UsedProofs(store.database, 'retrieve');
    await expect(proofs.use(new Uint8Array(32), at + 86_400_000, at)).rejects.toThrow();
  });
});
