import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { doctor } from '../../src/ingest/doctor.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestMany } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { IngestParts } from '../../src/ingest/submission.ts';
import { documentId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import { collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

const RUNS = Math.min(Number(process.env.BULKHEAD_TEST_RUNS ?? 25), 2000);

/** A process that dies at its n-th unit of work, before it or after its commit, and does nothing from then on. */
class Mortal {
  readonly #unitOfWork: Database['unitOfWork'];
  #left = Number.POSITIVE_INFINITY;
  #commits = false;

  constructor(database: Database) {
    this.#unitOfWork = database.unitOfWork.bind(database);
    database.unitOfWork = (role, context, work) => this.#run(() => this.#unitOfWork(role, context, work));
  }

  dieAt(unitOfWork: number, commits: boolean): void {
    this.#left = unitOfWork;
    this.#commits = commits;
  }

  revive(): void {
    this.#left = Number.POSITIVE_INFINITY;
  }

  async #run<T>(unitOfWork: () => Promise<T>): Promise<T> {
    this.#left -= 1;
    if (this.#left < 0 || (this.#left === 0 && !this.#commits)) throw new Error('killed');
    const result = await unitOfWork();
    if (this.#left === 0) throw new Error('killed after the commit');
    return result;
  }
}

interface Operation {
  readonly what: 'submit' | 'remove';
  readonly documents: readonly {
    readonly id: number;
    readonly content: number;
    readonly level: string | undefined;
  }[];
  readonly dies: { readonly at: number; readonly commits: boolean } | undefined;
}

const CONTENTS = [
  'One line.',
  'Another line.',
  `# Long\n\n${'The tide gauge in the harbour of Halifax was read twice. '.repeat(40)}`,
  '# Two\n\n## A\n\nFirst part.\n\n## B\n\nSecond part, with another heading.',
];

const operation: fc.Arbitrary<Operation> = fc.record({
  what: fc.constantFrom('submit' as const, 'submit' as const, 'submit' as const, 'remove' as const),
  documents: fc.array(
    fc.record({
      id: fc.nat(3),
      content: fc.nat(CONTENTS.length - 1),
      level: fc.constantFrom(undefined, 'internal', 'confidential', 'restricted'),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  dies: fc.option(fc.record({ at: fc.integer({ min: 1, max: 16 }), commits: fc.boolean() }), {
    nil: undefined,
  }),
});

let test: TestIngest;
let mortal: Mortal;
beforeAll(async () => {
  test = await openTestIngest();
  mortal = new Mortal(test.database);
});
afterAll(() => test.close());

async function perform({ what, documents }: Operation, parts: IngestParts): Promise<void> {
  const submitter = { authority: test.admin };
  if (what === 'submit') {
    const submissions = documents.map(({ id, content, level }) =>
      markdown(CONTENTS[content] ?? '', {
        externalId: `${id}.md`,
        access: { compartments: [], entries: [], ...(level !== undefined && { level }) },
      }),
    );
    await collect(ingestMany(parts, submitter, submissions));
    return;
  }
  const [row] = await test.rows<{ id: string }>(
    `select id from document where external_id = '${documents[0]?.id}.md'`,
  );
  if (row !== undefined) await removeDocument(parts, submitter, documentId(row.id));
}

/** What Postgres says the index should hold. */
function liveChunks() {
  return test.rows<{ chunkId: number; documentId: string; version: number; classId: number }>(`
    select c.id as "chunkId", c.document_id as "documentId", c.version, d.class_id as "classId"
    from chunk c join document d on d.id = c.document_id order by c.id`);
}

it('wherever a process is killed, a drain leaves the index with the live chunks and nothing else', async () => {
  const { fingerprint } = test.embedder;
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 6 }), async (operations) => {
      for (const next of operations) {
        const indexer = new Indexer({ ...test, fingerprint, onFailure: () => {} });
        if (next.dies !== undefined) mortal.dieAt(next.dies.at, next.dies.commits);
        await perform(next, { ...test.parts, indexer }).catch((error: unknown) => {
          if (next.dies === undefined) throw error;
        });
        mortal.revive();
      }
      await new Indexer({ ...test, fingerprint, onFailure: () => {} }).takeOver();
      expect(await test.points()).toEqual(await liveChunks());
      expect(await test.rows('select 1 from outbox')).toEqual([]);
      expect(
        await test.rows(`select 1 from document d where version = 0 or version <> (
          select max(version) from document_version v where v.document_id = d.id)
          or chunk_count <> (select count(*) from chunk c where c.document_id = d.id)`),
      ).toEqual([]);
      const differences = [];
      const options = { ...test, fingerprint, repair: false };
      for await (const difference of doctor(options)) differences.push(difference);
      expect(differences).toEqual([]);
    }),
    // runs share one database, so a smaller counterexample would start from another state
    { numRuns: RUNS, endOnFailure: true },
  );
}, 600_000);
