import { randomUUID } from 'node:crypto';
import type { Embedder } from '../../src/embed/embedder.ts';
import type { BulkheadError } from '../../src/errors.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import type { IndexedPoint, VectorCollections, VectorIndex } from '../../src/index/vector-index.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ParsePool } from '../../src/ingest/parsers/parse-pool.ts';
import type { IngestParts, IngestResult, Submission } from '../../src/ingest/submission.ts';
import { documentId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import { Directory } from '../../src/store/directory.ts';
import { openTestAudit, type TestAudit } from './audit.ts';
import { testEmbedder } from './embedder.ts';
import { asSuperuser } from './policy-tables.ts';
import { openTestStores, withPgvector } from './stores.ts';
import { TEST_SCHEME } from './tenant.ts';

const SECRETS = ['card', 'iban', 'us-ssn', 'api-key'];

/** A tenant with the real pipeline: model, index, audit. */
export interface TestIngest extends TestAudit {
  readonly embedder: Embedder;
  readonly collections: VectorCollections;
  readonly index: VectorIndex;
  readonly indexer: Indexer;
  readonly parts: IngestParts;
  readonly indexFailures: BulkheadError[];
  readonly rows: <T>(statement: string) => Promise<readonly T[]>;
  readonly points: () => Promise<readonly IndexedPoint[]>;
}

export async function openTestIngest(given: { database?: Database } = {}): Promise<TestIngest> {
  const stores = given.database === undefined ? await openTestStores() : withPgvector(given.database);
  const audit = await openTestAudit(stores.database);
  const { database, tenant } = audit;
  const embedder = await testEmbedder();
  const { collections } = stores;
  const index = await collections.open(embedder);
  const indexFailures: BulkheadError[] = [];
  const indexer = new Indexer({
    database,
    scheme: TEST_SCHEME,
    index,
    fingerprint: embedder.fingerprint,
    onFailure: (_, error) => indexFailures.push(error),
  });
  const parser = new ParsePool();
  const parts: IngestParts = {
    database,
    scheme: TEST_SCHEME,
    redaction: redactionPolicy(
      TEST_SCHEME.levels.map(({ name, rank }) => ({
        name,
        redact: [],
        alwaysMask: rank === 3 ? ['email', ...SECRETS] : SECRETS,
      })),
    ),
    parser,
    embedder,
    indexer,
    audit: audit.log,
    newDocumentId: () => documentId(randomUUID()),
  };
  return {
    ...audit,
    embedder,
    collections,
    index,
    indexer,
    parts,
    indexFailures,
    rows: (statement) => asSuperuser(database, statement),
    points: () => index.listPoints(tenant, undefined, 100_000),
    close: async () => {
      await parser.close();
      await audit.close();
      await stores.closeIndex();
    },
  };
}

/** Accounts that are active and hold nothing. */
export async function addAccounts({ database, admin }: TestIngest, ...names: string[]): Promise<void> {
  await Directory.as(database, admin.context).upsertAccounts(
    names.map((name) => ({
      principal: `user:workforce|${name}`,
      source: 'workforce',
      displayName: name,
      status: 'active' as const,
    })),
  );
}

export function markdown(text: string, changes: Partial<Submission> = {}): Submission {
  return {
    source: 'test',
    container: '/',
    externalId: 'a.md',
    mediaType: 'text/markdown',
    bytes: new TextEncoder().encode(text),
    ...changes,
  };
}

export async function collect(results: AsyncIterable<IngestResult>): Promise<readonly IngestResult[]> {
  const all: IngestResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}
