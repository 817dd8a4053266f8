import { describe, expect, it } from 'vitest';
import { refusePlainListener } from '../../src/assembly/roles.ts';
import { loadConfig } from '../../src/config/config.ts';

const PRODUCTION = { NODE_ENV: 'production' };
const DATABASE = { DATABASE_URL: 'postgres://login@127.0.0.1/bulkhead' };

describe('Qdrant', () => {
  const at =
    (url: string, environment = {}) =>
    () =>
      loadConfig({ ...PRODUCTION, ...DATABASE, QDRANT_URL: url, ...environment });

  it.each(['http://10.0.0.7:6333', 'http://qdrant:6333', 'http://localhost.example.com:6333'])(
    'in production is not sent keys in clear to another machine (%s)',
    (url) => {
      expect(at(url)).toThrow(expect.objectContaining({ code: 'store_unsafe' }));
      expect(at(url, { NODE_ENV: 'development' })).not.toThrow();
    },
  );

  it.each(['https://qdrant:6333', 'http://127.0.0.1:6333', 'http://localhost:6333', 'http://[::1]:6333'])(
    'is reached at %s in production',
    (url) => {
      expect(at(url)).not.toThrow();
    },
  );
});

it('A process with NODE_TLS_REJECT_UNAUTHORIZED=0, which believes every certificate, does not start', () => {
  const start = (value: string) => () => loadConfig({ NODE_TLS_REJECT_UNAUTHORIZED: value });
  expect(start('0')).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      detail: expect.stringMatching(/NODE_TLS_REJECT_UNAUTHORIZED[^\n]*unset it$/),
    }),
  );
  expect(start('1')).not.toThrow();
});

describe('In production, a listener beyond this machine', () => {
  const start = (environment: Readonly<Record<string, string>>) => () =>
    refusePlainListener({ ...loadConfig({ ...PRODUCTION, BULKHEAD_HOST: '0.0.0.0', ...environment }) });

  it('does not take tokens in clear', () => {
    const unsafe = expect.objectContaining({ code: 'store_unsafe' });
    expect(start({})).toThrow(unsafe);
    expect(start({ BULKHEAD_URL: 'http://ask.example.com' })).toThrow(unsafe);
    const config = loadConfig({ ...PRODUCTION, BULKHEAD_HOST: '10.0.0.7' });
    expect(() => refusePlainListener(config)).toThrow(unsafe);
    expect(() => refusePlainListener({ ...config, certificate: { cert: '', key: '' } })).not.toThrow();
  });

  it('may stand behind a proxy that terminates TLS, as an https address says', () => {
    expect(start({ BULKHEAD_URL: 'https://ask.example.com' })).not.toThrow();
  });

  it.each([
    ['on this machine', { BULKHEAD_HOST: '127.0.0.1' }],
    ['for an indexer, which answers only whether it is well', { ...DATABASE, BULKHEAD_ROLE: 'indexer' }],
    ['in development', { NODE_ENV: 'development' }],
  ])('needs no certificate %s', (_, environment) => {
    expect(start(environment)).not.toThrow();
  });
});
