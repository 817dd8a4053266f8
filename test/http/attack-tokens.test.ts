/** Attacks on tokens, one test each: the status, the challenge, the record of it, and what the body gives away. */
import { createHmac } from 'node:crypto';
import { exportSPKI, importJWK, type JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import { MemoryReplayStore } from '../../src/identity/replay-store.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { IssuerServer, newKey, type SigningKey, unsignedToken } from '../helpers/identity-issuer.ts';
import { newProofKey, type ProofKey, proofOf } from '../helpers/proofs.ts';

const UNVERIFIED = 'The token is malformed, or its signature was not made by an issuer that is trusted here.';
const BODY = JSON.stringify({ query: 'salaries' });

let app: TestApp;
let workforce: IssuerServer;
let partners: IssuerServer;
let key: SigningKey;
let partnersKey: SigningKey;
let holder: ProofKey;
let verifier: TokenVerifier;
/** Milliseconds: refusals are recorded one by one up to so many a minute. */
let ahead = 0;

beforeAll(async () => {
  [workforce, partners] = await Promise.all([IssuerServer.start(), IssuerServer.start()]);
  [key, partnersKey, holder] = await Promise.all([newKey('key-1'), newKey('key-1'), newProofKey()]);
  workforce.published = [key];
  partners.published = [partnersKey];
  const common = { groupSource: 'both', directoryAuthoritative: true, typ: ['at+jwt', 'JWT'] } as const;
  const tenant = { claim: 'org', map: { 'org-1': 'meridian' } };
  verifier = createTokenVerifier(
    [workforce.profile(common), partners.profile({ ...common, name: 'partners', tenant })],
    { now: Date.now },
  );
  const own = createAuthenticator({ tokens: verifier, replays: new MemoryReplayStore(), now: Date.now });
  let isReady = false;
  app = await openTestApp(
    (services) => ({
      ...services,
      authenticate: (presented) => (isReady ? own : services).authenticate(presented),
    }),
    { more: () => ({ now: () => Date.now() + ahead }) },
  );
  await app.add('/hr', 'The salaries of the board are in the vault.');
  await app.add('/open', 'Where salaries are kept is not for everybody, says the open notice.');
  const entries = [{ allow: 'service:workforce|agent' }];
  const made = await app.ask('root', 'POST', '/v1/containers', { path: '/agents', entries });
  if (made.status !== 201) throw new Error(made.text);
  await app.add('/agents', 'Only machines read of the salaries of machines.');
  isReady = true;
}, 60_000);

afterAll(async () => {
  await app.close();
  await Promise.all([workforce.close(), partners.close()]);
});

const seconds = () => Math.floor(Date.now() / 1000);

/** Of Anna, who may read what the attackers want. */
function claimsNow(claims: Record<string, unknown> = {}) {
  return {
    sub: 'anna',
    iat: seconds() - 5,
    exp: seconds() + 300,
    auth_time: seconds() - 5,
    groups: [],
    ...claims,
  };
}
const tokenOf = (claims = {}, header = {}, signedBy = key, by = workforce) =>
  by.sign(signedBy, claimsNow(claims), header);
const ofPartners = (claims = {}, signedBy = partnersKey) =>
  tokenOf({ sub: 'carla', org: 'org-1', ...claims }, {}, signedBy, partners);
const serviceToken = (claims = {}) => tokenOf({ sub: 'agent', client_id: 'agent', ...claims });

function send(headers: Record<string, string>) {
  return fetch(`${app.url}/v1/retrieve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: BODY,
  });
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

interface Expected {
  readonly detail: string | RegExp;
  readonly code?: string;
  readonly challenge?: RegExp;
}

/** Refused with 401 and a challenge, recorded as a refusal, and silent about what there is. */
async function expectRefused(headers: Record<string, string>, expected: Expected) {
  const {
    detail,
    code = 'invalid_token',
    challenge = /^Bearer realm="bulkhead".*error="invalid_token"/,
  } = expected;
  ahead += 61_000;
  const before = app.refusals.length;
  const response = await send(headers);
  const body = (await response.json()) as Record<string, unknown>;
  expect(response.status, JSON.stringify(body)).toBe(401);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('www-authenticate')).toMatch(challenge);
  expect(Object.keys(body).sort()).toEqual(['code', 'detail', 'request_id', 'status', 'title', 'type']);
  expect(body.code).toBe(code);
  if (typeof detail === 'string') expect(body.detail).toBe(detail);
  else expect(body.detail).toMatch(detail);
  const refusal = app.refusals.slice(before);
  expect(refusal).toEqual([
    {
      tenant: undefined,
      subject: null,
      actor: null,
      request: body.request_id,
      code,
      status: 401,
      route: '/v1/retrieve',
      count: 1,
    },
  ]);
  for (const line of app.logLines)
    for (const value of Object.values(headers)) expect(line).not.toContain(value);
}

const expectForged = async (token: string | Promise<string>) =>
  expectRefused(bearer(await token), { detail: UNVERIFIED });

it('without an attack, the same token is answered', async () => {
  const response = await send(bearer(await tokenOf()));
  expect(response.status).toBe(200);
  expect(await response.text()).toContain('vault');
});

describe('a forged signature', () => {
  it('alg:none', () =>
    expectForged(unsignedToken({ alg: 'none', typ: 'at+jwt' }, workforce.claims(claimsNow()), 'AA')));

  it.each(['None', 'nOnE', ''])('alg:none spelt %j', (alg) =>
    expectForged(unsignedToken({ alg, typ: 'at+jwt', kid: 'key-1' }, workforce.claims(claimsNow()), 'AA')),
  );

  it('HS256 with the public key', async () => {
    const input = unsignedToken({ alg: 'HS256', typ: 'at+jwt', kid: 'key-1' }, workforce.claims(claimsNow()));
    const pem = await exportSPKI((await importJWK(key.publicJwk, 'ES256')) as never);
    for (const secret of [
      JSON.stringify(key.publicJwk),
      pem,
      Buffer.from(key.publicJwk.x ?? '', 'base64url'),
    ]) {
      const mac = createHmac('sha256', secret).update(input.slice(0, -1)).digest('base64url');
      await expectForged(input + mac);
    }
  });

  it.each([
    '../../../../dev/null',
    'file:///etc/passwd',
    'https://evil.example/jwks',
    "' or 1=1 --",
    '__proto__',
    'k\u0000y',
  ])('kid path or URL tricks: %j', async (kid) => expectForged(tokenOf({}, { kid }, await newKey(kid))));

  it('jku and x5u headers', async () => {
    const evil = await IssuerServer.start();
    const forged = await newKey('evil');
    evil.published = [forged];
    for (const header of [
      { kid: 'evil', jku: `${evil.url}/jwks` },
      { kid: 'evil', x5u: `${evil.url}/x5u` },
      { kid: 'key-1', jku: `${evil.url}/jwks` },
    ])
      await expectForged(tokenOf({}, header, forged));
    expect(evil.requests).toEqual([]);
    await evil.close();
  });

  it('jwk header injection', async () => {
    const forged = await newKey('evil');
    const jwk: JWK = { kty: 'EC', crv: 'P-256', x: forged.publicJwk.x ?? '', y: forged.publicJwk.y ?? '' };
    await expectForged(tokenOf({}, { jwk, kid: undefined }, forged));
    await expectForged(tokenOf({}, { jwk, kid: 'key-1' }, forged));
  });

  it('a critical extension that is not known', async () => {
    const [, payload, signature] = (await tokenOf()).split('.');
    const header = { alg: 'ES256', typ: 'at+jwt', kid: 'key-1', crit: ['exp'], exp: 0 };
    await expectForged(
      `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${signature}`,
    );
  });

  it('wrong issuer with a valid signature', () => expectForged(tokenOf({ iss: 'https://evil.example' })));

  it('mixed-up issuers', async () => {
    // each names the other, signed with a key of the same id
    await expectForged(tokenOf({ iss: partners.url }));
    await expectForged(ofPartners({ iss: workforce.url, sub: 'anna' }));
    expect((await send(bearer(await ofPartners()))).status).toBe(200);
  });
});

describe('a true token that is for something else', () => {
  it('audience of a sibling app', async () => {
    for (const aud of [
      'https://sibling.example',
      [],
      ['https://sibling.example'],
      'https://bulkhead.example/api/',
    ])
      await expectRefused(bearer(await tokenOf({ aud })), {
        detail: 'The token was issued for another audience.',
      });
  });

  it('ID token used as access token', async () => {
    const detail = 'The token is not an access token of the type this issuer sends.';
    for (const claims of [{ nonce: 'n' }, { at_hash: 'h' }, { c_hash: 'h' }])
      await expectRefused(bearer(await tokenOf(claims, { typ: 'JWT' })), { detail });
    await expectRefused(bearer(await tokenOf({}, { typ: 'id+jwt' })), { detail });
    await expectRefused(bearer(await tokenOf({}, { typ: undefined })), { detail });
    const idToken = await tokenOf({ aud: 'bulkhead-page', nonce: 'n' }, { typ: 'JWT' });
    await expectRefused(bearer(idToken), { detail: 'The token was issued for another audience.' });
  });

  it('logout token used as access token', async () => {
    await expectRefused(bearer(await tokenOf({}, { typ: 'logout+jwt' })), { detail: /not an access token/ });
  });

  it('token of another tenant', async () => {
    for (const org of ['org-2', 'meridian', 'constructor', undefined, ['org-1'], { 'org-1': 1 }])
      await expectRefused(bearer(await ofPartners({ org })), {
        detail: 'The token is of a tenant that is not served here.',
      });
  });

  it('tenant in a header, the query or the body', async () => {
    const token = await ofPartners({ org: 'org-2' });
    await expectRefused(
      { ...bearer(token), 'x-tenant': 'meridian', tenant: 'meridian' },
      { detail: /tenant/ },
    );
  });
});

describe('a token at the wrong time', () => {
  it('expired by one second', async () => {
    await expectRefused(bearer(await tokenOf({ exp: seconds() - 1 })), { detail: /has expired/ });
  });

  it('not-before', async () => {
    await expectRefused(bearer(await tokenOf({ nbf: seconds() + 30 })), { detail: /not valid yet/ });
  });

  it('issued in the future', async () => {
    await expectRefused(bearer(await tokenOf({ iat: seconds() + 30 })), { detail: /"iat"/ });
  });
});

describe('a key that the token is bound to', () => {
  const challenge = /error="invalid_dpop_proof"|^Bearer realm="bulkhead"/;
  const bound = () => tokenOf({ cnf: { jkt: holder.thumbprint } });
  const proof = (token: string) =>
    proofOf(holder, { token, method: 'POST', url: `${app.url}/v1/retrieve`, now: seconds() });

  it('replayed DPoP proof', async () => {
    const token = await bound();
    const headers = { authorization: `DPoP ${token}`, dpop: await proof(token) };
    expect((await send(headers)).status).toBe(200);
    await expectRefused(headers, { detail: 'The proof was used before.', challenge });
  });

  it('bound token as bearer', async () => {
    const token = await bound();
    await expectRefused(bearer(token), { detail: /bound to a key/ });
    await expectRefused({ ...bearer(token), dpop: await proof(token) }, { detail: /bound to a key/ });
  });

  it('bound token with the proof of another key', async () => {
    const token = await bound();
    const thief = await newProofKey();
    const stolen = await proofOf(thief, {
      token,
      method: 'POST',
      url: `${app.url}/v1/retrieve`,
      now: seconds(),
    });
    await expectRefused(
      { authorization: `DPoP ${token}`, dpop: stolen },
      { detail: /another key/, challenge },
    );
  });

  it('proof for another endpoint', async () => {
    const token = await bound();
    const elsewhere = await proofOf(holder, {
      token,
      method: 'GET',
      url: `${app.url}/v1/documents`,
      now: seconds(),
    });
    await expectRefused(
      { authorization: `DPoP ${token}`, dpop: elsewhere },
      { detail: /another method/, challenge },
    );
  });

  it('certificate-bound token without its connection', async () => {
    const token = await tokenOf({ cnf: { 'x5t#S256': 'a'.repeat(43) } });
    const forwarded = { 'x-forwarded-client-cert': 'Hash=aaaa', 'x-ssl-cert': 'MIIB' };
    await expectRefused({ ...bearer(token), ...forwarded }, { detail: /client certificate/ });
  });
});

describe('a group claim', () => {
  const detail = 'The group claim must be a list of at most 1000 group ids.';

  it('as string', async () => {
    for (const groups of ['hr', 'hr,board', '["hr"]'])
      await expectRefused(bearer(await tokenOf({ sub: 'petra', groups })), { detail });
  });

  it('nested object', async () => {
    for (const groups of [{ 0: 'hr', length: 1 }, ['x', { name: 'hr' }], [['hr']], { hr: true }, null])
      await expectRefused(bearer(await tokenOf({ sub: 'petra', groups })), { detail });
  });

  it('5,000 groups', async () => {
    const groups = Array.from({ length: 5_000 }, () => 'g');
    await expectRefused(bearer(await tokenOf({ groups })), { detail: /16 KB/ });
    const shorter = Array.from({ length: 1_001 }, () => 'g');
    await expectRefused(bearer(await tokenOf({ groups: shorter })), { detail });
  });

  it('naming a group of another issuer', async () => {
    const groups = ['workforce|hr'];
    await expectRefused(bearer(await ofPartners({ groups })), { detail });
    const response = await send(bearer(await ofPartners({ groups: ['hr'] })));
    expect(response.status).toBe(200);
    expect(await response.text()).not.toContain('vault');
  });

  it('naming a principal that is no group', async () => {
    const response = await send(
      bearer(await tokenOf({ sub: 'petra', groups: ['everyone', 'user:workforce', 'anna'] })),
    );
    expect(await response.text()).not.toContain('vault');
  });
});

describe('a token of', () => {
  it('1 MB', async () => {
    ahead += 61_000;
    const before = app.refusals.length;
    // the connection ends while the header is still being sent, which not every client survives
    const response = await send(bearer(`${'A'.repeat(1 << 20)}.AA.AA`)).catch(() => undefined);
    expect(response === undefined || response.status === 431).toBe(true);
    await expect
      .poll(() => app.refusals.slice(before))
      .toEqual([
        {
          tenant: undefined,
          subject: null,
          actor: null,
          request: null,
          code: 'headers_too_large',
          status: 431,
          route: 'none',
          count: 1,
        },
      ]);
    await expect(verifier.verify(`${'A'.repeat(1 << 20)}.AA.AA`)).rejects.toMatchObject({ status: 401 });
    expect((await send(bearer(await tokenOf()))).status).toBe(200);
  });

  it('20 KB', () => expectRefused(bearer(`${'A'.repeat(20_000)}.AA.AA`), { detail: /16 KB/ }));
});

describe('acting for a user', () => {
  it('actor token without user', async () => {
    const actor = { 'actor-authorization': `Bearer ${await serviceToken()}` };
    await expectRefused(actor, {
      code: 'missing_token',
      detail: /Authorization/,
      challenge: /^Bearer realm="bulkhead"/,
    });
    const alone = await send(bearer(await serviceToken()));
    expect(await alone.text()).not.toContain('vault');
  });

  it('user token passed as actor', async () => {
    const headers = {
      ...bearer(await tokenOf()),
      'actor-authorization': `Bearer ${await tokenOf({ sub: 'petra' })}`,
    };
    await expectRefused(headers, { detail: /token of a service/ });
  });

  it('an act claim that names a user', async () => {
    const response = await send(bearer(await tokenOf({ act: { sub: 'root' } })));
    expect(response.status).toBe(403);
    expect(((await response.json()) as { code: string }).code).toBe('subject_unknown');
  });

  it('chain too deep', async () => {
    const act = { sub: 'agent', act: { sub: 'agent' } };
    await expectRefused(bearer(await tokenOf({ act })), { detail: /longer chain/ });
  });

  it('an actor of another issuer, without its own token', async () => {
    await expectRefused(bearer(await tokenOf({ act: { sub: 'agent', iss: partners.url } })), {
      detail: /another issuer/,
    });
  });

  it('an API key as actor', async () => {
    const headers = { ...bearer(await tokenOf()), 'actor-authorization': 'Bearer bhk_abcdefghijklmnop_x' };
    await expectRefused(headers, { detail: /API key cannot act/ });
  });

  it('an actor header that cannot be read is not as if it were absent', async () => {
    for (const header of ['Basic YTpi', await serviceToken(), 'Bearer a b'])
      await expectRefused(
        { ...bearer(await tokenOf()), 'actor-authorization': header },
        { detail: /Actor-Auth/ },
      );
  });

  it('does not read past the service’s ceiling, with a token that says so or two', async () => {
    const exchanged = bearer(await tokenOf({ act: { sub: 'agent' } }));
    const two = { ...bearer(await tokenOf()), 'actor-authorization': `Bearer ${await serviceToken()}` };
    for (const headers of [exchanged, two]) {
      const response = await send(headers);
      const text = await response.text();
      expect(response.status, text).toBe(200);
      expect(text).toContain('open notice');
      expect(text).not.toContain('board');
    }
    const alone = await (await send(bearer(await tokenOf()))).text();
    expect(alone).toContain('board');
  });
});

describe('what only the service may read', () => {
  it('is nothing of the user’s for whom it acts, and the service alone reads nothing of theirs', async () => {
    const user = await tokenOf();
    const both = await send({ ...bearer(user), 'actor-authorization': `Bearer ${await serviceToken()}` });
    expect(await both.text()).not.toContain('machines');
    const exchanged = await send(bearer(await tokenOf({ act: { sub: 'agent' } })));
    expect(await exchanged.text()).not.toContain('machines');
    const alone = await (await send(bearer(await serviceToken()))).text();
    expect(alone).toContain('machines');
    expect(alone).not.toContain('vault');
  });
});

describe('credentials where none belong', () => {
  it.each([
    ['in the query', `/v1/documents?access_token=`],
    ['in a cookie', '/v1/documents'],
  ])('%s are never looked at', async (where, path) => {
    const token = await tokenOf();
    const response = await fetch(app.url + path + (where === 'in the query' ? token : ''), {
      headers: { cookie: `access_token=${token}; Authorization=Bearer ${token}` },
    });
    expect(response.status).toBe(401);
  });
});

it('what is refused before a signature has verified is refused in one way', async () => {
  const unlike = [
    await tokenOf({}, {}, await newKey('key-1')),
    await tokenOf({}, { kid: 'nobody' }, await newKey('nobody')),
    await tokenOf({ iss: 'https://evil.example' }),
    unsignedToken({ alg: 'none' }, workforce.claims(claimsNow()), 'AA'),
    unsignedToken({ alg: 'HS256', typ: 'JWT' }, workforce.claims(claimsNow()), 'AA'),
    unsignedToken(
      { alg: 'ES256', typ: 'id+jwt', kid: 'key-1' },
      workforce.claims(claimsNow({ exp: 1 })),
      'AA',
    ),
    'AA.AA.AA',
  ];
  const answers = new Set<string>();
  for (const token of unlike) {
    const response = await send(bearer(token));
    const { request_id: _, ...body } = (await response.json()) as Record<string, unknown>;
    answers.add(JSON.stringify([response.status, response.headers.get('www-authenticate'), body]));
  }
  expect(answers.size).toBe(1);
});
