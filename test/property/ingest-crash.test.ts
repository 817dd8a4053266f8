import { AsyncLocalStorage } from 'node:async_hooks';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { doctor } from '../../src/ingest/doctor.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestMany } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { IngestParts } from '../../src/ingest/submission.ts';
import { documentId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import { ON_SERVERS } from '../helpers/database.ts';
import { collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

const RUNS = Math.min(Number(process.env.BULKHEAD_TEST_RUNS ?? 25), 2000);

/** One process: how many units of work it has left. What it still has under way when it dies, dies with it. */
interface Life {
  left: number;
  readonly commits: boolean;
  readonly underWay: Set<Promise<unknown>>;
}

/** Processes that die at their n-th unit of work, before it or after its commit, and do nothing from then on. */
class Mortal {
  readonly #unitOfWork: Database['unitOfWork'];
  readonly #lives = new AsyncLocalStorage<Life>();

  constructor(database: Database) {
    this.#unitOfWork = database.unitOfWork.bind(database);
    database.unitOfWork = (role, context, work) => {
      const life = this.#lives.getStore();
      const run = () => this.#unitOfWork(role, context, work);
      return life === undefined ? run() : this.#run(life, run);
    };
  }

  /** Resolves when nothing of the process is left on the database. */
  async live(dies: Operation['dies'], process: () => Promise<void>): Promise<void> {
    const life: Life = {
      left: dies?.at ?? Number.POSITIVE_INFINITY,
      commits: dies?.commits ?? false,
      underWay: new Set(),
    };
    try {
      await this.#lives.run(life, process);
    } catch (error) {
      if (dies === undefined) throw error;
    } finally {
      life.left = dies === undefined ? life.left : 0;
      await Promise.allSettled(life.underWay);
    }
  }

  async #run<T>(life: Life, unitOfWork: () => Promise<T>): Promise<T> {
    life.left -= 1;
    if (life.left < 0 || (life.left === 0 && !life.commits)) throw new Error('killed');
    const running = unitOfWork();
    life.underWay.add(running);
    const result = await running.finally(() => life.underWay.delete(running));
    if (life.left <= 0) throw new Error('killed after the commit');
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
        await mortal.live(next.dies, () => perform(next, { ...test.parts, indexer }));
      }
      // where others may be at work, what the dead held is free when their leases have run out
      if (ON_SERVERS) await test.rows('update outbox set leased_until = null, not_before = now()');
      await new Indexer({ ...test, fingerprint, onFailure: () => {} }).takeOver();
      expect(await test.points()).toEqual(await liveChunks());
      // a document taken over from the dead is looked at once more when the last of their writes must have landed
      expect(await test.rows("select 1 from outbox where operation <> 'mend'")).toEqual([]);
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
