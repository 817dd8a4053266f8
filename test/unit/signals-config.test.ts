import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openIdentity } from '../../src/assembly/open-identity.ts';
import { loadConfig } from '../../src/config/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-signals-'));
const file = join(folder, 'bulkhead.yaml');
writeFileSync(join(folder, 'stream-secret'), 'long and random\n');
afterAll(() => rmSync(folder, { recursive: true }));

const LEVELS = [{ name: 'internal' }];
const ISSUERS = [
  { name: 'workforce', tenant: 'acme', issuer: 'https://login.example', audience: 'urn:bulkhead:api' },
  {
    name: 'shared',
    tenant: { claim: 'org', map: { a: 'acme', b: 'beta' } },
    issuer: 'https://shared.example',
    audience: 'urn:bulkhead:api',
  },
  {
    name: 'entra',
    kind: 'entra',
    tenant: 'acme',
    issuer: 'https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0',
    audience: 'urn:bulkhead:api',
  },
  {
    name: 'okta',
    kind: 'okta',
    tenant: 'acme',
    issuer: 'https://acme.okta.com/oauth2/default',
    audience: 'urn:bulkhead:api',
  },
];
const STREAM = {
  issuer: 'https://signals.example',
  jwksUri: 'https://signals.example/keys',
  audience: 'urn:bulkhead:signals',
  tenant: 'acme',
  issuerName: 'workforce',
};

function signals(...streams: readonly object[]) {
  writeFileSync(file, JSON.stringify({ issuers: ISSUERS, signals: streams }));
  return loadConfig({ BULKHEAD_CONFIG: file }).signals;
}

describe('The configuration of signals', () => {
  it('is empty by itself, and with it nothing is received', () => {
    expect(signals()).toEqual([]);
  });

  it('takes the subjects of a stream for those of its issuer, unless it says what events call them', () => {
    const [plain, named] = signals(STREAM, {
      ...STREAM,
      audience: 'urn:2',
      subjectIssuer: 'https://org.example',
    });
    expect(plain).toMatchObject({
      subjectIssuer: 'https://login.example',
      bearer: undefined,
      maxAgeSeconds: 604_800,
    });
    expect(named?.subjectIssuer).toBe('https://org.example');
  });

  it('knows of which kind the issuer is, whose ids its events have', () => {
    const kinds = signals(STREAM, { ...STREAM, audience: 'urn:2', issuerName: 'okta' });
    expect(kinds.map(({ issuerKind }) => issuerKind)).toEqual(['oidc', 'okta']);
  });

  it('reads the secret of a stream from a file', () => {
    expect(signals({ ...STREAM, bearerFile: './stream-secret' })[0]?.bearer).toBe('long and random');
    expect(() => signals({ ...STREAM, bearerFile: './missing' })).toThrow(/could not be read/);
  });

  it('has tenants of the issuer only', () => {
    expect(signals({ ...STREAM, issuerName: 'shared', tenant: 'beta' })).toHaveLength(1);
    for (const wrong of [
      { tenant: 'beta' },
      { issuerName: 'stranger' },
      { issuerName: 'shared', tenant: 'gamma' },
    ])
      expect(() => signals({ ...STREAM, ...wrong })).toThrow(/not configured, or not of its tenant/);
  });

  it('has no two streams that an event could be of', () => {
    expect(() => signals(STREAM, { ...STREAM, issuerName: 'shared' })).toThrow(/of another one/);
  });

  it.each([
    ['without a key set', { jwksUri: undefined }],
    ['with a secret in the file itself', { bearer: 'secret' }],
    ['with an age that lets through what nobody remembers', { maxAgeSeconds: 365 * 86_400 }],
  ])('is refused %s', (_, change) => {
    expect(() => signals({ ...STREAM, ...change })).toThrow(/config_invalid/);
  });
});

describe('A stream whose events would name nobody that tokens do', () => {
  const start = (change: object) => {
    writeFileSync(
      file,
      JSON.stringify({ levels: LEVELS, issuers: ISSUERS, signals: [{ ...STREAM, ...change }] }),
    );
    const config = loadConfig({ BULKHEAD_CONFIG: file });
    return openIdentity(config, new URL('https://bulkhead.example'), Date.now);
  };
  const refused = (words: RegExp) => ({ code: 'config_invalid', detail: expect.stringMatching(words) });

  it('is refused at the start where accounts are told apart by two claims together', async () => {
    await expect(start({ issuerName: 'entra' })).rejects.toMatchObject(refused(/by tid and oid: .* cannot/));
    await expect(start({ issuerName: 'entra', subjectClaim: 'oid' })).rejects.toMatchObject(
      refused(/by tid and oid/),
    );
  });

  it('is refused where they are told apart by another claim, unless its events are said to repeat that', async () => {
    await expect(start({ issuerName: 'okta' })).rejects.toMatchObject(refused(/say subjectClaim: uid/));
    expect((await start({ issuerName: 'okta', subjectClaim: 'uid' })).profiles).toHaveLength(4);
    expect((await start({})).profiles).toHaveLength(4);
    await expect(start({ subjectClaim: 'uid' })).rejects.toMatchObject(refused(/say subjectClaim: sub/));
  });
});
