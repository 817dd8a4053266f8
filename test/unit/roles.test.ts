import { describe, expect, it } from 'vitest';
import { describeRole, refuseUnfit } from '../../src/assembly/roles.ts';
import { addressOnThisMachine } from '../../src/assembly/server.ts';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { hasApi, hasPages, serves } from '../../src/http/role-routes.ts';
import { PROCESS_ROLES } from '../../src/store/process-role.ts';

const DATABASE = { DATABASE_URL: 'postgres://login@db/bulkhead', BULKHEAD_DEMO: 'false' };
const QDRANT = { ...DATABASE, QDRANT_URL: 'http://localhost:6333' };

function configOf(environment: Readonly<Record<string, string>>): Config {
  return loadConfig(environment);
}

/** Keys come from files; what was read of them is all that counts here. */
function withKeys(config: Config, readKey: string | undefined, writeKey: string | undefined): Config {
  return { ...config, qdrant: config.qdrant && { ...config.qdrant, readKey: readKey ?? writeKey, writeKey } };
}

function complaint(config: Config): string | undefined {
  try {
    refuseUnfit(config);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    const { message } = error as Error;
    expect(message).not.toContain('\n');
    return message;
  }
}

describe('a process does not start', () => {
  it.each(PROCESS_ROLES)('as %s without PostgreSQL', (role) => {
    expect(complaint(configOf({ BULKHEAD_ROLE: role, BULKHEAD_DEMO: 'false' }))).toMatch(/DATABASE_URL/);
  });

  it.each(PROCESS_ROLES)('as %s with the demo, which is one process', (role) => {
    expect(complaint(configOf({ ...DATABASE, BULKHEAD_ROLE: role, BULKHEAD_DEMO: 'true' }))).toMatch(/demo/);
  });

  it.each(PROCESS_ROLES)('as %s under the name of another role in the audit log', (role) => {
    const config = configOf({ ...DATABASE, BULKHEAD_ROLE: role, BULKHEAD_WRITER: 'all-1' });
    expect(complaint(config)).toMatch(/BULKHEAD_WRITER/);
    expect(complaint({ ...config, auditWriter: `${role}-1` })).toBeUndefined();
  });

  it.each(['ingest', 'admin', 'audit'])('as %s with a key of the index', (role) => {
    const config = configOf({ ...QDRANT, BULKHEAD_ROLE: role });
    expect(complaint(config)).toBeUndefined();
    expect(complaint(withKeys(config, 'read', undefined))).toMatch(/does not use the index/);
    expect(complaint(withKeys(config, undefined, 'write'))).toMatch(/does not use the index/);
  });

  it('as retrieve with a key that writes, or with none', () => {
    const config = configOf({ ...QDRANT, BULKHEAD_ROLE: 'retrieve' });
    expect(complaint(withKeys(config, 'read', 'write'))).toMatch(/only searches/);
    expect(complaint(withKeys(config, undefined, 'write'))).toMatch(/only searches/);
    expect(complaint(config)).toMatch(/QDRANT_READ_KEY_FILE/);
    expect(complaint(withKeys(config, 'read', undefined))).toBeUndefined();
  });

  it('as indexer without a key that writes', () => {
    const config = configOf({ ...QDRANT, BULKHEAD_ROLE: 'indexer' });
    expect(complaint(config)).toMatch(/QDRANT_API_KEY_FILE/);
    expect(complaint(withKeys(config, 'read', undefined))).toMatch(/QDRANT_API_KEY_FILE/);
    expect(complaint(withKeys(config, undefined, 'write'))).toBeUndefined();
  });

  it.each(['admin', 'audit'])('as %s with the keys of encrypted texts', (role) => {
    const config = configOf({ ...DATABASE, BULKHEAD_ROLE: role });
    expect(complaint({ ...config, keyFile: '/run/secrets/keys' })).toMatch(/BULKHEAD_KEY_FILE/);
  });

  it('as anything that is no role', () => {
    expect(() => configOf({ BULKHEAD_ROLE: 'root' })).toThrow(/BULKHEAD_ROLE/);
  });
});

describe('the role', () => {
  it('is the one on the command line, if one is there', () => {
    expect(loadConfig({ BULKHEAD_ROLE: 'admin' }, { BULKHEAD_ROLE: 'audit' }).role).toBe('audit');
    expect(loadConfig({ BULKHEAD_ROLE: 'admin' }).role).toBe('admin');
    expect(loadConfig({}).role).toBe('all');
  });

  it('begins the name of the chain that the process writes', () => {
    for (const role of PROCESS_ROLES)
      expect(configOf({ ...DATABASE, BULKHEAD_ROLE: role }).auditWriter).toMatch(new RegExp(`^${role}-.`));
    expect(configOf({}).auditWriter).toMatch(/^all-./);
  });

  it('is told in one sentence, with its stores and what it refuses', () => {
    expect(describeRole(configOf({}))).toBe('Role all on the embedded store: serves everything.');
    expect(describeRole(configOf({ ...QDRANT, BULKHEAD_ROLE: 'retrieve' }))).toBe(
      'Role retrieve on PostgreSQL and Qdrant: serves questions, reading documents and the pages, and refuses all else.',
    );
    expect(describeRole(configOf({ ...QDRANT, BULKHEAD_ROLE: 'admin' }))).toMatch(
      /^Role admin on PostgreSQL: /,
    );
  });
});

describe('routes', () => {
  it('that no role was given are refused when the application is built', () => {
    expect(() => serves('all', 'GET /v1/secrets')).toThrow(/no role serves/);
  });

  it('are answered by the indexer for its health only', () => {
    expect([hasApi('indexer'), hasPages('indexer'), serves('indexer', 'GET /healthz')]).toEqual([
      false,
      false,
      true,
    ]);
    expect(serves('indexer', 'POST /v1/doctor')).toBe(false);
    expect(serves('operator', 'POST /v1/doctor')).toBe(true);
    expect(serves('operator', 'POST /v1/retrieve')).toBe(false);
  });
});

it.each([
  [{}, 'http://127.0.0.1:9'],
  [{ BULKHEAD_HOST: '0.0.0.0' }, 'http://localhost:9'],
  [{ BULKHEAD_HOST: '::' }, 'http://localhost:9'],
  [{ BULKHEAD_HOST: '10.0.0.7' }, 'http://10.0.0.7:9'],
  [{ BULKHEAD_HOST: '::1' }, 'http://[::1]:9'],
])('commands find a server that listens as %j at %s', (environment, address) => {
  expect(addressOnThisMachine(configOf(environment), 9)).toBe(address);
});
