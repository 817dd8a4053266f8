/**
 * The way of one document (design §5):
 *
 *   1 receive → 2 parse → 3 inspect → 4 label → 5 split → 6 embed → 7 write → index
 *
 * Many go through at once: reading runs ahead of embedding and embedding ahead of writing, each by a bounded amount.
 */
import type { TenantId } from '../policy/ids.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { type Received, receive } from './1-receive.ts';
import { type Embedded, embed, type Split } from './6-embed.ts';
import { finish } from './finish.ts';
import { PrincipalNames, prepare } from './prepare.ts';
import { groupReady, mapAhead, turn } from './streams.ts';
import {
  failed,
  type IngestParts,
  type IngestResult,
  type Step,
  type Submission,
  type Submitter,
  type Unreadable,
} from './submission.ts';
import { UnderWay } from './under-way.ts';

/** In documents. */
const RECEIVED_AT_ONCE = 16;
/** A file that is being read takes about this long. */
const RECEIVE_PATIENCE_MS = 10;
/** In chunks, as all that follow. */
const EMBEDDED_AHEAD = 64;
const WRITTEN_AT_ONCE = 32;
/** About as long as it takes to embed so many. */
const WRITE_PATIENCE_MS = 400;
const BETWEEN_MAINTENANCE = 2048;
const WORTH_MAINTENANCE = 200;

type Submissions = AsyncIterable<Submission | Unreadable> | Iterable<Submission | Unreadable>;

/**
 * Ingests documents as they come and yields a result for each as it is finished: durable, and in the index. What is
 * wrong with one document is its result and stops no other. Memory is bounded: the source is read no faster than
 * results are taken.
 * @throws DatabaseError when the database is gone; what was not yet yielded may or may not have been written
 */
export async function* ingestMany(
  parts: IngestParts,
  submitter: Submitter,
  submissions: Submissions,
): AsyncGenerator<IngestResult> {
  const underWay = new UnderWay();
  const maintenance = new Maintenance(parts);
  const ready = embedAhead(parts, submitter, underWay, submissions);
  const inGroups = { limit: WRITTEN_AT_ONCE, weigh: chunksOf, patienceMs: WRITE_PATIENCE_MS };
  for await (const group of groupReady(ready, inGroups)) {
    let isFinished = false;
    try {
      for (const result of await finishAsOfNow(parts, submitter, group)) {
        underWay.end(result.externalId);
        maintenance.count(result);
        yield result;
      }
      await maintenance.between();
      // whoever waits for the one connection of the embedded engine has a turn
      await turn();
      isFinished = true;
    } finally {
      // a failure, or a reader who left: the source must not wait for results that never come
      if (!isFinished) underWay.close();
    }
  }
  await maintenance.afterwards();
}

/** Who may no longer submit writes nothing more: each document that is left fails with the reason. */
async function finishAsOfNow(
  parts: IngestParts,
  submitter: Submitter,
  group: readonly Step<Embedded>[],
): Promise<readonly IngestResult[]> {
  let authority = submitter.authority;
  try {
    authority = (await submitter.renew?.()) ?? authority;
  } catch (error) {
    return group.map((step) => (step.kind === 'result' ? step.result : failed(step.work.submission, error)));
  }
  return finish(parts, { ...submitter, authority }, group);
}

/** One document, to its end. */
export async function ingestOne(
  parts: IngestParts,
  submitter: Submitter,
  submission: Submission,
): Promise<IngestResult> {
  for await (const result of ingestMany(parts, submitter, [submission])) return result;
  throw new Error('a submission came to no result');
}

/** Stages 1 to 6. */
function embedAhead(
  parts: IngestParts,
  submitter: Submitter,
  underWay: UnderWay,
  submissions: Submissions,
): AsyncIterable<Step<Embedded>> {
  const documents = ManagedDocuments.as(parts.database, submitter.authority.context);
  const names = new PrincipalNames(documents);
  const received = receiveAll(documents, underWay, submissions);
  const split = mapAhead(
    received,
    (step) => onWork(step, (work: Received) => prepare(parts, submitter, names, work)),
    { limit: RECEIVED_AT_ONCE, weigh: () => 1 },
  );
  const { tenant } = submitter.authority.subject;
  return mapAhead(split, (step) => onWork(step, (work: Split) => embedOne(parts, tenant, work)), {
    limit: EMBEDDED_AHEAD,
    weigh: chunksOf,
  });
}

/** A document that is under way is not received again before it is done: the second is to see the first. */
async function* receiveAll(
  documents: ManagedDocuments,
  underWay: UnderWay,
  submissions: Submissions,
): AsyncGenerator<Step<Received>> {
  const inGroups = { limit: RECEIVED_AT_ONCE, weigh: () => 1, patienceMs: RECEIVE_PATIENCE_MS };
  for await (const group of groupReady(eachOf(submissions), inGroups)) {
    let batch: (Submission | Unreadable)[] = [];
    for (const submission of group) {
      if (underWay.has(submission.externalId)) {
        yield* await receive(documents, batch);
        batch = [];
        await underWay.until(submission.externalId);
      }
      underWay.begin(submission.externalId);
      batch.push(submission);
    }
    yield* await receive(documents, batch);
  }
}

async function* eachOf<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function embedOne(parts: IngestParts, tenant: TenantId, split: Split): Promise<Step<Embedded>> {
  try {
    return { kind: 'work', work: await embed(split, parts, tenant) };
  } catch (error) {
    return { kind: 'result', result: failed(split.submission, error) };
  }
}

async function onWork<T, R>(step: Step<T>, next: (work: T) => Promise<Step<R>>): Promise<Step<R>> {
  return step.kind === 'result' ? step : next(step.work);
}

function chunksOf(step: Step<{ readonly chunks: readonly unknown[] }>): number {
  return step.kind === 'result' ? 1 : step.work.chunks.length;
}

/** PGlite cleans up after itself only when told to. */
class Maintenance {
  readonly #parts: IngestParts;
  #chunks = 0;
  #total = 0;

  constructor(parts: IngestParts) {
    this.#parts = parts;
  }

  count({ chunks = 0 }: IngestResult): void {
    this.#chunks += chunks;
    this.#total += chunks;
  }

  async between(): Promise<void> {
    if (this.#chunks < BETWEEN_MAINTENANCE) return;
    this.#chunks = 0;
    await this.#parts.database.maintain();
  }

  async afterwards(): Promise<void> {
    if (this.#total > WORTH_MAINTENANCE && this.#chunks > 0) await this.#parts.database.maintain();
  }
}
