import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSealer } from '../../src/assembly/open-sealer.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { BulkheadError } from '../../src/errors.ts';
import { documentId, tenantId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import { type KeyFile, openKeyFile } from '../helpers/encryption.ts';
import { openTestTenant } from '../helpers/tenant.ts';

let folder: string;
let database: Database;
let keyFile: KeyFile;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-start-'));
  ({ database } = await openTestTenant());
  keyFile = await openKeyFile('first', 'second');
  for (const encrypt of [true, false])
    await writeFile(
      join(folder, `${encrypt}.yaml`),
      `levels:\n  - { name: public }\n  - { name: secret, encrypt: ${encrypt} }\n`,
    );
}, 120_000);
afterAll(async () => {
  await database.close();
  await keyFile.remove();
  await rm(folder, { recursive: true });
});

const configure = (encrypt: boolean, environment: Record<string, string> = {}) =>
  loadConfig({ BULKHEAD_CONFIG: join(folder, `${encrypt}.yaml`), BULKHEAD_DATA: folder, ...environment });
const withKeys = (more: Record<string, string> = {}) =>
  configure(true, { BULKHEAD_KEY_FILE: keyFile.path, ...more });
const refusal = async (config: ReturnType<typeof loadConfig>) => {
  const error = (await openSealer(config, database).catch((thrown: unknown) => thrown)) as BulkheadError;
  expect(error).toMatchObject({ code: 'config_invalid' });
  expect(error.detail).not.toContain('\n');
  return error.detail;
};

const ROW = {
  tenant: tenantId(1),
  document: documentId('00000000-0000-4000-8000-000000000001'),
  version: 1,
  ordinal: 0,
};
const TEXT = { text: 'The harbour is deep.', headingPath: ['Harbour'] };

describe('A program that starts', { timeout: 60_000 }, () => {
  it('without a key file refuses a level that asks for encryption', async () => {
    expect(await refusal(configure(true))).toBe(
      'The level secret asks for encryption and BULKHEAD_KEY_FILE is not set.',
    );
    const { as, levels } = await openSealer(configure(false), database);
    expect([levels, as.ingest.levelAt(1)]).toEqual([[], undefined]);
  });

  it('has one role seal what another opens, and a role that touches no text needs no keys', async () => {
    const { as, levels } = await openSealer(withKeys(), database);
    expect(levels).toEqual(['secret']);
    const key = await as.ingest.textKey(ROW.tenant, 1, 1);
    const sealed = key?.seal(ROW, TEXT);
    if (sealed === undefined) throw new Error('nothing was sealed');
    expect(await as.retrieve.open(ROW, sealed)).toEqual(TEXT);
    expect(await as.indexer.open(ROW, sealed)).toEqual(TEXT);
    expect(await as.ingest.textKey(ROW.tenant, 0, 1)).toBeUndefined();
    for (const role of ['admin', 'audit'])
      expect(
        (await openSealer({ ...configure(true), role: role as 'admin' }, database)).keys,
      ).toBeUndefined();
  });

  it.each(['all', 'retrieve', 'ingest', 'indexer'] as const)(
    'as %s says which key is missing or another',
    async (role) => {
      const config = { ...withKeys(), role };
      await openSealer(config, database);
      await keyFile.write(['second']);
      expect(await refusal(config)).toMatch(/has no key "first", with which 1 data keys are wrapped\.$/);
      await writeFile(keyFile.path, `first ${Buffer.alloc(32, 7).toString('base64')}\n`);
      expect(await refusal(config)).toMatch(/has another key "first", with which 1 data keys are wrapped\.$/);
      await keyFile.write(['first', 'second']);
      expect(await refusal({ ...configure(false), role })).toBe(
        'The database holds data keys wrapped with the key "first" and BULKHEAD_KEY_FILE is not set.',
      );
    },
  );

  it('opens what was sealed with a level that asks for nothing any more, as long as it has the keys', async () => {
    const before = await openSealer(withKeys(), database);
    const sealed = (await before.as.ingest.textKey(ROW.tenant, 1, 1))?.seal(ROW, TEXT);
    const { as } = await openSealer(configure(false, { BULKHEAD_KEY_FILE: keyFile.path }), database);
    expect(sealed && (await as.retrieve.open(ROW, sealed))).toEqual(TEXT);
  });
});
