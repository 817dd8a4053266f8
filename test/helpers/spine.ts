import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAuditKey } from '../../src/audit/audit-key.ts';
import { type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts';
import type { Embedder } from '../../src/embed/embedder.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import { documentTerms } from '../../src/index/terms.ts';
import type { VectorIndex } from '../../src/index/vector-index.ts';
import { chunkId, classId, documentId, instant, tenantId } from '../../src/policy/ids.ts';
import { createDriftWatch, type Drift } from '../../src/retrieve/drift.ts';
import type { RetrieveParts } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { GivenClassIds } from '../../src/store/class-ids.ts';
import type { Database } from '../../src/store/database.ts';
import { KnownCallers } from '../../src/store/known-callers.ts';
import { testEmbedder } from './embedder.ts';
import { asSuperuser, SCHEME, writeLevels } from './policy-tables.ts';
import { openTestStores, type TestStores } from './stores.ts';

const TENANT = 1;
const ROOT = 900;

export interface SpineDocument {
  readonly id: string;
  readonly class: number;
  readonly chunks: readonly number[];
}

/** Everything a query passes through, real, over a tenant whose policy the test writes as the superuser. */
export interface Spine {
  readonly database: Database;
  readonly embedder: Embedder;
  readonly index: VectorIndex;
  readonly audit: AuditLog;
  readonly parts: RetrieveParts;
  readonly drifts: readonly Drift[];
  readonly lag: () => number;
  /** `open` may be read by ann and bob, `closed` by bob only; both are internal, and both are cleared for it. */
  readonly classes: { readonly open: number; readonly closed: number };
  add(cls: number, text: string, title?: string): Promise<SpineDocument>;
  remove(document: SpineDocument): Promise<void>;
  readonly ann: CallerIdentity;
  readonly bob: CallerIdentity;
  close(): Promise<void>;
}

const identity = (user: string): CallerIdentity => ({
  tenant: 'spine',
  user: `user:w|${user}`,
  tokenGroups: [],
  actor: undefined,
  acr: 'pwd',
  authTime: undefined,
});

/** People 1 ann, 2 bob, 3 everyone; classes ROOT, open, closed. */
const POLICY = `
  insert into tenant (id, name) overriding system value values (${TENANT}, 'spine');
  insert into policy_epoch (tenant_id, counter, watermark) values (${TENANT}, 1, 3);
  insert into principal (id, tenant_id, kind, key) overriding system value
    values (1, ${TENANT}, 'user', 'user:w|ann'), (2, ${TENANT}, 'user', 'user:w|bob'), (3, ${TENANT}, 'everyone', 'everyone');
  insert into directory_account (principal_id, tenant_id, source, display_name) values (1, ${TENANT}, 'w', 'Ann'), (2, ${TENANT}, 'w', 'Bob');
  insert into directory_source (tenant_id, source, as_of) values (${TENANT}, 'w', now());
  insert into clearance (tenant_id, principal_id, level, rank) values (${TENANT}, 3, 'internal', 1);
  insert into access_class (id, tenant_id, parent_id, kind, path, level, rank, seq) values
    (${ROOT}, ${TENANT}, null, 'container', '/', 'internal', 1, 1),
    (${ROOT + 1}, ${TENANT}, ${ROOT}, 'container', '/open', null, null, 2),
    (${ROOT + 2}, ${TENANT}, ${ROOT}, 'container', '/closed', null, null, 3);
  insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass) values
    (${ROOT}, ${ROOT}, ${TENANT}, true), (${ROOT + 1}, ${ROOT + 1}, ${TENANT}, true), (${ROOT + 1}, ${ROOT}, ${TENANT}, true),
    (${ROOT + 2}, ${ROOT + 2}, ${TENANT}, true), (${ROOT + 2}, ${ROOT}, ${TENANT}, true);
  insert into entry (tenant_id, class_id, principal_id, effect) values
    (${TENANT}, ${ROOT + 1}, 1, 'allow'), (${TENANT}, ${ROOT + 1}, 2, 'allow'), (${TENANT}, ${ROOT + 2}, 2, 'allow');`;

/** @param open gives the empty stores that the spine will own */
export async function openSpine(open: () => Promise<TestStores> = openTestStores): Promise<Spine> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-spine-'));
  const [stores, embedder] = await Promise.all([open(), testEmbedder()]);
  const { database } = stores;
  await writeLevels(database);
  await asSuperuser(database, POLICY);
  const index = await stores.collections.open(embedder);
  const key = await loadAuditKey(join(folder, 'audit.key'), randomBytes);
  const audit = createAuditLog({
    database,
    role: 'retrieve',
    writer: 'test',
    key,
    checkpointsFile: join(folder, 'checkpoints.ndjson'),
    now: () => instant(Date.now()),
    random: randomBytes,
    onCheckpointFailure: (error) => {
      throw error;
    },
  });
  const drifts: Drift[] = [];
  let lag = 0;
  const alarms = {
    drift: async (drift: Drift) => {
      drifts.push(drift);
    },
    lag: (passages: number) => {
      lag += passages;
    },
    failed: (error: unknown) => {
      throw error;
    },
  };
  const parts: RetrieveParts = {
    database,
    scheme: SCHEME,
    callers: new KnownCallers(),
    visibleSets: new VisibleSets(database),
    givenClassIds: new GivenClassIds(database),
    embedder,
    index,
    audit,
    questionKey: key.questionKey,
    redaction: redactionPolicy(
      SCHEME.levels.map(({ name }) => ({ name, redact: ['email', 'card'], alwaysMask: ['card'] })),
    ),
    drift: createDriftWatch({ database, index }, alarms),
    indexLag: () => 'current',
  };
  return {
    database,
    embedder,
    index,
    audit,
    parts,
    drifts,
    lag: () => lag,
    classes: { open: ROOT + 1, closed: ROOT + 2 },
    add: (cls, text, title = 'Untitled') => addDocument(database, embedder, index, cls, text, title),
    remove: async ({ id }) => {
      await asSuperuser(database, `delete from document where id = '${id}'`);
      await index.removeDocument(tenantId(TENANT), documentId(id));
    },
    ann: identity('ann'),
    bob: identity('bob'),
    close: async () => {
      await audit.close();
      await Promise.all([database.close(), stores.closeIndex()]);
      await rm(folder, { recursive: true });
    },
  };
}

async function addDocument(
  database: Database,
  embedder: Embedder,
  index: VectorIndex,
  cls: number,
  text: string,
  title: string,
): Promise<SpineDocument> {
  const id = randomUUID();
  const hash = createHash('sha256').update(text).digest('hex');
  const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;
  await asSuperuser(
    database,
    `insert into document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count, title, media_type, content_hash, updated_at)
       values ('${id}', ${TENANT}, ${cls}, ${cls}, 'test', '${id}', 1, 1, ${quoted(title)}, 'text/plain', '\\x${hash}', now() - interval '1 hour')`,
  );
  const rows = await asSuperuser<{ id: number }>(
    database,
    `insert into chunk (tenant_id, document_id, version, ordinal, text, start_offset, end_offset, tokens)
       values (${TENANT}, '${id}', 1, 0, ${quoted(text)}, 0, ${text.length}, 1) returning id`,
  );
  const chunk = chunkId(rows[0]?.id ?? -1);
  const [embedding] = await embedder.embedPassages([text]);
  if (embedding === undefined) throw new Error('no vector');
  await index.upsert([
    {
      chunkId: chunk,
      documentId: documentId(id),
      version: 1,
      classId: classId(cls),
      tenant: tenantId(TENANT),
      embedding,
      terms: documentTerms(text, title),
    },
  ]);
  return { id, class: cls, chunks: [chunk] };
}
