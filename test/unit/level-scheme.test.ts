/**
 * Ranks mean what the configuration of the process says. A process that goes on with another configuration than the
 * installation's, because an admin process started with a new one, decides nothing any more.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { labelScheme } from '../../src/assembly/label-scheme.ts';
import { type PolicyConfig, policySchema } from '../../src/config/levels.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { reembed } from '../../src/ingest/reembed.ts';
import { Resealer } from '../../src/ingest/reseal.ts';
import type { LabelScheme } from '../../src/policy/label.ts';
import { type DocumentParts, listDocuments, readDocument } from '../../src/retrieve/documents.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { authorize } from '../../src/store/authority.ts';
import { requireLevels, syncLevels } from '../../src/store/level-scheme.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

type Level = PolicyConfig['levels'][number];

const COMPARTMENTS = [...TEST_SCHEME.compartments];
const NAMES = TEST_SCHEME.levels.map(({ name }) => name);
const policyOf = (names: readonly string[], asked: Readonly<Record<string, Partial<Level>>> = {}) =>
  policySchema.parse({
    levels: names.map((name) => ({ name, ...asked[name] })),
    compartments: COMPARTMENTS,
  });
const schemeOf = (...args: Parameters<typeof policyOf>) => labelScheme(policyOf(...args));

const MFA = { restricted: { acr: ['mfa'] } };
/** Of the replica that goes on. */
const RUNNING = schemeOf(NAMES, MFA);
/** Without `confidential`, which nothing uses: `restricted` now has the rank that asked for nothing. */
const SHORTER = schemeOf(
  NAMES.filter((name) => name !== 'confidential'),
  MFA,
);
const OTHER_LEVELS = { code: 'policy_unavailable', status: 503, retryAfterSeconds: expect.any(Number) };
const SECRET = 'The merger closes on Friday.';

let test: TestIngest;
let document: string;

const caller = (acr?: string): CallerIdentity => ({
  tenant: 'meridian',
  user: 'user:workforce|root',
  tokenGroups: [],
  actor: undefined,
  acr,
  authTime: undefined,
});

/** What a replica with these levels reads with. */
const replica = (scheme: LabelScheme): DocumentParts => ({
  database: test.database,
  scheme,
  redaction: redactionPolicy(scheme.levels.map(({ name }) => ({ name, redact: [], alwaysMask: [] }))),
  audit: test.log,
});
const read = (parts: DocumentParts, acr?: string) =>
  readDocument(parts, caller(acr), { requestId: randomUUID(), document }).then(
    ({ content }) => content.passages.map(({ text }) => text),
    (error: { code: string }) => Promise.reject(error),
  );
const epochs = async () =>
  (await test.rows<{ counter: number }>('select counter from policy_epoch order by tenant_id')).map(
    ({ counter }) => counter,
  );
const submission = (externalId: string) =>
  markdown(SECRET, { externalId, access: { compartments: [], entries: [], level: 'restricted' } });

beforeAll(async () => {
  test = await openTestIngest();
  await test.rows(`
    insert into clearance (tenant_id, principal_id, level, rank, compartments)
      select ${test.tenant}, id, 'restricted', 3, '{}' from principal where key = 'user:workforce|root';
    insert into entry (tenant_id, class_id, principal_id, effect)
      select ${test.tenant}, c.id, p.id, 'allow' from access_class c, principal p
      where c.path = '/' and p.kind = 'everyone'`);
  const { documentId } = await ingestOne(
    test.parts,
    { authority: await test.as('user:workforce|root') },
    submission('1.md'),
  );
  document = documentId ?? '';
});
afterAll(() => test.close());
beforeEach(async () => {
  await syncLevels(test.database, RUNNING);
});

describe('A replica that goes on while an admin process starts with other levels', () => {
  it('reads as its levels say until then', async () => {
    await expect(read(replica(RUNNING))).rejects.toMatchObject({ code: 'step_up_required' });
    expect(await read(replica(RUNNING), 'mfa')).toEqual([SECRET]);
  });

  it('releases nothing by the ranks of a list that was shortened', async () => {
    const replicas = [undefined, 'mfa'].map((acr) => ({ parts: replica(RUNNING), acr }));
    await syncLevels(test.database, SHORTER);
    for (const { parts, acr } of replicas)
      await expect(read(parts, acr)).rejects.toMatchObject({
        ...OTHER_LEVELS,
        detail: expect.stringMatching(/other levels than the installation.*Restart/),
      });
    await expect(read(replica(SHORTER))).rejects.toMatchObject({ code: 'step_up_required' });
    expect(await read(replica(SHORTER), 'mfa')).toEqual([SECRET]);
  });

  it('releases nothing without a factor that a level asks for now, though no rank moved', async () => {
    const lax = schemeOf(NAMES);
    await syncLevels(test.database, lax);
    expect(await read(replica(lax))).toEqual([SECRET]);
    await syncLevels(test.database, RUNNING);
    await expect(read(replica(lax))).rejects.toMatchObject(OTHER_LEVELS);
  });

  it('lists nothing and changes nothing either', async () => {
    const list = () => listDocuments(replica(RUNNING), caller('mfa'), { requestId: randomUUID(), limit: 9 });
    expect((await list()).content.documents).toHaveLength(1);
    await syncLevels(test.database, SHORTER);
    await expect(list()).rejects.toMatchObject(OTHER_LEVELS);
    for (const role of ['admin', 'audit', 'ingest', 'retrieve'] as const)
      await expect(authorize(test.database, role, RUNNING, caller('mfa'))).rejects.toMatchObject(
        OTHER_LEVELS,
      );
  });

  it.each([
    ['shortened', SHORTER],
    ['made stricter without a rank moving', schemeOf(NAMES, { ...MFA, public: { acr: ['mfa'] } })],
  ])('does not release what it had decided before the list was %s', async (_, next) => {
    let appended = 0;
    const audit: DocumentParts['audit'] = Object.assign(Object.create(test.log), {
      appendReceipt: async (...args: Parameters<typeof test.log.appendReceipt>) => {
        appended += 1;
        await syncLevels(test.database, next);
        return test.log.appendReceipt(...args);
      },
    });
    const receipts = () => test.rows(`select id from audit_record where kind = 'release'`);
    const before = await receipts();
    await expect(read({ ...replica(RUNNING), audit }, 'mfa')).rejects.toMatchObject(OTHER_LEVELS);
    expect(appended).toBe(1);
    expect(await receipts()).toEqual(before);
  });

  it('writes nothing that was masked and sealed by the ranks before', async () => {
    const parts = { ...test.parts, scheme: RUNNING };
    const authority = await authorize(test.database, 'ingest', RUNNING, caller('mfa'));
    await syncLevels(test.database, SHORTER);
    const result = await ingestOne(parts, { authority }, submission('2.md'));
    expect(result).toMatchObject({ status: 'failed', error: { code: 'policy_unavailable' } });
    expect(await test.rows(`select id from document where external_id = '2.md'`)).toEqual([]);
  });

  it('stops indexing until the levels are its own again', async () => {
    const { database, index, embedder } = test;
    const failures: unknown[] = [];
    const onFailure = (_: unknown, error: unknown) => failures.push(error);
    const { fingerprint } = embedder;
    const indexer = new Indexer({ database, index, fingerprint, scheme: RUNNING, onFailure });
    const waiting = () => test.rows('select attempts from outbox');
    await test.rows(
      `insert into outbox (tenant_id, document_id, operation) values (${test.tenant}, '${document}', 'mend')`,
    );
    await syncLevels(database, SHORTER);
    await expect(indexer.drain()).rejects.toMatchObject(OTHER_LEVELS);
    await expect(indexer.takeOver()).rejects.toMatchObject(OTHER_LEVELS);
    // nobody is to blame, and no attempt was made
    expect(await waiting()).toEqual([{ attempts: 0 }]);
    await syncLevels(database, RUNNING);
    await indexer.drain();
    expect(await waiting()).toEqual([]);
    expect(failures).toEqual([]);
  });

  it('stops resealing until the levels are its own again', async () => {
    const { database } = test;
    const drained: string[] = [];
    const resealer = new Resealer({
      database,
      scheme: RUNNING,
      redaction: { indexedWithout: () => new Set() },
      indexer: { drain: async () => void drained.push('drained') },
      onUnopened: () => {},
    });
    await test.rows('select queue_everything_for_sealing()');
    const waiting = async () => (await test.rows('select id from seal_queue')).length;
    await syncLevels(database, SHORTER);
    const before = await waiting();
    expect(before).toBeGreaterThan(0);
    await expect(resealer.drain()).rejects.toMatchObject(OTHER_LEVELS);
    expect(await waiting()).toBe(before);
    await syncLevels(database, RUNNING);
    await resealer.drain();
    expect(await waiting()).toBe(0);
  });

  it('embeds nothing again by the masks of the levels before', async () => {
    const { database, collections, embedder } = test;
    const { dimension } = embedder;
    await syncLevels(database, SHORTER);
    const job = reembed({
      database,
      scheme: RUNNING,
      collections,
      embedder: { fingerprint: 'e'.repeat(64), dimension, embedPassages: () => Promise.reject('asked') },
      redaction: { indexedWithout: () => new Set() },
      tenants: [test.admin.context],
      onProgress: () => {},
    });
    await expect(job).rejects.toMatchObject(OTHER_LEVELS);
  });
});

describe('An admin process that starts', () => {
  it('raises the epoch of every tenant when only what a level asks has changed', async () => {
    await createTenant(test.database, {
      name: 'other',
      admin: { principal: 'user:workforce|other', source: 'workforce', displayName: 'Other' },
      rootLevel: 'public',
    });
    const before = await epochs();
    expect(before).toHaveLength(2);
    expect(await syncLevels(test.database, schemeOf(NAMES, { ...MFA, public: { silent: true } }))).toBe(true);
    const after = await epochs();
    for (const [i, counter] of after.entries()) expect(counter).toBeGreaterThan(before[i] ?? 0);
  });

  it('changes nothing when everything is as it was', async () => {
    const before = await epochs();
    expect(await syncLevels(test.database, RUNNING)).toBe(false);
    expect(await epochs()).toEqual(before);
  });

  it('leaves the digest as it was when it may not change the levels', async () => {
    const without = schemeOf(['public', 'internal']);
    await expect(syncLevels(test.database, without)).rejects.toMatchObject({ code: 'config_invalid' });
    expect(await read(replica(RUNNING), 'mfa')).toEqual([SECRET]);
  });
});

describe('A process that may not change the levels starts', () => {
  const start = (scheme: LabelScheme) => requireLevels(test.database, 'retrieve', scheme);

  it('with the configuration of the installation', async () => {
    await start(RUNNING);
    await start(schemeOf(NAMES, MFA));
  });

  it('not with other names, and is told both', async () => {
    await expect(start(SHORTER)).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(
        /has the levels public, internal, confidential.*has public, internal, restricted.*role admin/,
      ),
    });
  });

  it('not with the same names that ask something else, and is told what to do in one line', async () => {
    await expect(start(schemeOf(NAMES))).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(/^[^\n]*safeguards[^\n]*differ[^\n]*role admin[^\n]*$/),
    });
  });

  it('not before an admin process has said what the levels ask', async () => {
    await test.rows('delete from level_scheme');
    await expect(start(RUNNING)).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(/not yet what they ask.*role admin/),
    });
    await expect(read(replica(RUNNING), 'mfa')).rejects.toMatchObject(OTHER_LEVELS);
  });
});

describe('The digest of the levels', () => {
  const base = policyOf(NAMES, { internal: { acr: ['pwd', 'mfa'], redact: ['email', 'card'] } });
  const digest = (policy: PolicyConfig) => labelScheme(policy).digest;
  const changed: Readonly<Record<keyof Level, Partial<Level>>> = {
    name: { name: 'inner' },
    redact: { redact: ['email'] },
    alwaysMask: { alwaysMask: ['card'] },
    acr: { acr: ['mfa'] },
    maxAuthAgeSeconds: { maxAuthAgeSeconds: 60 },
    maxDirectoryAgeSeconds: { maxDirectoryAgeSeconds: 60 },
    silent: { silent: true },
    encrypt: { encrypt: true },
  };

  it.each(Object.entries(changed))('is another with another %s', (_, change) => {
    const levels = base.levels.map((level, i) => (i === 1 ? { ...level, ...change } : level));
    expect(digest({ ...base, levels })).not.toBe(digest(base));
  });

  it('is asked about every field that a level has', () => {
    expect(Object.keys(changed).sort()).toEqual(Object.keys(policySchema.shape.levels.element.shape).sort());
  });

  it('is another in another order, with fewer levels, and with other compartments', () => {
    const others = [
      { ...base, levels: base.levels.toReversed() },
      { ...base, levels: base.levels.slice(0, -1) },
      { ...base, compartments: base.compartments.slice(1) },
    ].map(digest);
    expect(new Set([...others, digest(base)]).size).toBe(4);
  });

  it('is the same however the lists and fields are ordered', () => {
    const reordered = {
      compartments: base.compartments.toReversed(),
      levels: base.levels.map((level) => ({
        ...(Object.fromEntries(Object.entries(level).toReversed()) as Level),
        redact: level.redact.toReversed(),
        ...(level.acr !== undefined && { acr: level.acr.toReversed() }),
      })),
    };
    expect(digest(reordered)).toBe(digest(base));
  });
});
