import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileKeyService } from '../../src/crypto/file-key-service.ts';
import type { KeyService } from '../../src/crypto/key-service.ts';
import { Keyring } from '../../src/crypto/keyring.ts';
import { createSealer, type Sealer } from '../../src/crypto/sealer.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { Resealer } from '../../src/ingest/reseal.ts';
import type { DocumentId } from '../../src/policy/ids.ts';
import { createDriftWatch } from '../../src/retrieve/drift.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import type { UnopenedPassage } from '../../src/retrieve/unseal.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { GivenClassIds } from '../../src/store/class-ids.ts';
import { DataKeys } from '../../src/store/data-keys.ts';
import type { Database } from '../../src/store/database.ts';
import { Directory } from '../../src/store/directory.ts';
import { KnownCallers } from '../../src/store/known-callers.ts';
import { SealingWork } from '../../src/store/sealing-work.ts';
import { markdown, openTestIngest, type TestIngest } from './ingest.ts';
import { TEST_SCHEME } from './tenant.ts';

export interface KeyFile {
  readonly path: string;
  /** Newest first. */
  write(ids: readonly string[]): Promise<void>;
  remove(): Promise<void>;
}

/** Ids keep their keys from one writing to the next. */
export async function openKeyFile(...ids: string[]): Promise<KeyFile> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-keys-'));
  const path = join(folder, 'keys');
  const known = new Map<string, string>();
  const lineOf = (id: string) => {
    const key = known.get(id) ?? randomBytes(32).toString('base64');
    known.set(id, key);
    return `${id} ${key}\n`;
  };
  const write = async (names: readonly string[]) => {
    await writeFile(path, `# made for a test\n${names.map(lineOf).join('')}`);
    await chmod(path, 0o600);
  };
  await write(ids);
  return { path, write, remove: () => rm(folder, { recursive: true, force: true }) };
}

type SealingRole = 'retrieve' | 'ingest' | 'indexer';

export function sealerAs(
  database: Database,
  keys: KeyService,
  role: SealingRole,
  encrypted: readonly string[],
  mostMessages?: number,
): Sealer {
  const keyring = new Keyring({
    keys,
    store: DataKeys.as(database, role),
    // nothing is remembered of which keys are current
    now: (() => {
      let time = 0;
      return () => {
        time += 1e6;
        return time;
      };
    })(),
    newKeyId: randomUUID,
    randomBytes,
    ...(mostMessages !== undefined && { mostMessages }),
  });
  const levels = TEST_SCHEME.levels.map(({ name }) => ({ name, encrypt: encrypted.includes(name) }));
  return createSealer(levels, keyring, randomBytes);
}

/** The whole way of a document and of a question; the levels named keep their texts encrypted. */
export interface TestEncryption {
  readonly test: TestIngest;
  readonly keyFile: KeyFile;
  readonly keys: KeyService;
  readonly unopened: UnopenedPassage[];
  readonly retrieveParts: RetrieveParts;
  /** Everybody with all clearances. */
  readonly reader: CallerIdentity;
  readonly resealer: Resealer;
  add(name: string, text: string, level: string, container?: string): Promise<DocumentId>;
  ask(query: string, limit?: number): ReturnType<typeof retrieve>;
  newResealer(): Resealer;
  close(): Promise<void>;
}

export async function openTestEncryption(
  encrypted: readonly string[],
  given: Parameters<typeof openTestIngest>[0] = {},
): Promise<TestEncryption> {
  const test = await openTestIngest(given);
  const { database, admin } = test;
  const keyFile = await openKeyFile('first');
  const keys = openFileKeyService(keyFile.path, randomBytes);
  await openToReader(test);
  await new SealingWork(database).configure(encrypted);
  const unopened: UnopenedPassage[] = [];
  const redaction = redactionPolicy(
    TEST_SCHEME.levels.map(({ name }) => ({ name, redact: ['email'], alwaysMask: ['card'] })),
  );
  const retrieveParts = {
    database,
    scheme: TEST_SCHEME,
    callers: new KnownCallers(),
    visibleSets: new VisibleSets(database),
    givenClassIds: new GivenClassIds(database),
    embedder: test.embedder,
    index: test.index,
    redaction,
    audit: test.log,
    questionKey: test.key.questionKey,
    drift: createDriftWatch(
      { database, index: test.index },
      { drift: async () => {}, lag: () => {}, failed: () => {} },
    ),
    indexLag: () => 'current' as const,
    sealer: sealerAs(database, keys, 'retrieve', encrypted),
    onUnopened: (passage: UnopenedPassage) => {
      unopened.push(passage);
    },
  };
  const parts = { ...test.parts, redaction, sealer: sealerAs(database, keys, 'ingest', encrypted) };
  const newResealer = () =>
    new Resealer({
      database,
      scheme: TEST_SCHEME,
      sealer: sealerAs(database, keys, 'indexer', encrypted),
      redaction,
      indexer: test.indexer,
      onUnopened: (passage) => {
        unopened.push(passage);
      },
      removeKeysAfterSeconds: 0,
    });
  const reader = identity('root');
  return {
    test: { ...test, parts },
    keyFile,
    keys,
    unopened,
    retrieveParts,
    reader,
    resealer: newResealer(),
    newResealer,
    add: async (name, text, level, container = '/') => {
      const access = { compartments: [], entries: [], level };
      const submission = markdown(text, { externalId: name, access, container });
      const result = await ingestOne(
        parts,
        { authority: await test.as(admin.subject.user.name) },
        submission,
      );
      if (result.documentId === undefined || result.error !== undefined)
        throw new Error(JSON.stringify(result.error));
      return result.documentId;
    },
    ask: (query, limit = 10) =>
      retrieve(retrieveParts, reader, { requestId: 'req-1', query, limit, filters: {} }),
    close: async () => {
      await test.close();
      await keyFile.remove();
    },
  };
}

const identity = (name: string): CallerIdentity => ({
  tenant: 'meridian',
  user: `user:workforce|${name}`,
  tokenGroups: [],
  actor: undefined,
  acr: undefined,
  authTime: undefined,
});

/** `root` reads everything, so that what is withheld is withheld by encryption alone. */
async function openToReader({ database, admin, rows }: TestIngest): Promise<void> {
  await Directory.as(database, admin.context).grantClearance([
    { principal: 'everyone', level: 'restricted', compartments: [] },
  ]);
  await rows(`insert into entry (tenant_id, class_id, principal_id, effect)
    select c.tenant_id, c.id, p.id, 'allow' from access_class c join principal p on p.tenant_id = c.tenant_id
    where c.path = '/' and p.key = 'everyone'`);
}
