/** How fast documents are taken in, beside how fast their chunks alone can be embedded; and what queries feel of it. */
import { sql } from 'kysely';
import type { Core } from '../../src/assembly/core.ts';
import { embeddingText } from '../../src/ingest/3-inspect.ts';
import type { Submission } from '../../src/ingest/submission.ts';
import { deal } from './dealing.ts';
import { type Percentiles, percentiles, timeRetrieve } from './query-times.ts';
import { sourceTexts } from './source-texts.ts';
import { documentsFrom, TENANT } from './spine-folder.ts';
import { asSuperuser } from './superuser.ts';
import { ingestAll, submissionsOf, submitterOf } from './tenant.ts';

const ROUNDS = 2;

export interface IngestRates {
  readonly chunks: number;
  /** Chunks a second. */
  readonly ingest: number;
  readonly embedding: number;
  /** Share of the time of ingest in which this thread, which is also the database, computed. */
  readonly busy: number;
}

/** Documents that are not there yet, dealt to the same containers. */
export function freshSubmissions(count: number, seed: number): readonly Submission[] {
  return submissionsOf(documentsFrom(sourceTexts(), count, seed), deal(count, seed));
}

/** In rounds, ingest and embedding in turn, so that whatever else the machine does falls on both alike. */
export async function timeIngest(core: Core, documents: number): Promise<IngestRates> {
  const total = { chunks: 0, ingest: 0, embedding: 0, busy: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const submissions = freshSubmissions(Math.ceil(documents / ROUNDS), 100 + round);
    const submitter = await submitterOf(core, TENANT);
    const idle = performance.eventLoopUtilization();
    total.ingest += await seconds(() => ingestAll(core.ingest, submitter, submissions));
    total.busy += performance.eventLoopUtilization(idle).utilization / ROUNDS;
    const texts = await textsOf(core, submissions);
    total.chunks += texts.flat().length;
    total.embedding += await seconds(() =>
      Promise.all(texts.map((some) => core.embedder.embedPassages(some))),
    );
  }
  const { chunks, ingest, embedding, busy } = total;
  return { chunks, ingest: chunks / ingest, embedding: chunks / embedding, busy };
}

/** What was embedded, document by document. */
async function textsOf(core: Core, submissions: readonly Submission[]): Promise<readonly string[][]> {
  const rows = await asSuperuser(core.database, (query) =>
    query(sql<{ document: string; title: string; heading_path: string[]; text: string }>`
      select d.id as document, d.title, c.heading_path, c.text
      from document d join chunk c on c.document_id = d.id and c.version = d.version
      where d.external_id = any (${submissions.map(({ externalId }) => externalId)}::text[]) order by d.id, c.ordinal`),
  );
  const byDocument = new Map<string, string[]>();
  for (const { document, title, heading_path: headingPath, text } of rows)
    byDocument.set(document, [
      ...(byDocument.get(document) ?? []),
      embeddingText(title, { headingPath, text }),
    ]);
  return [...byDocument.values()];
}

export interface QueriesDuringIngest {
  readonly atRest: Percentiles;
  readonly during: Percentiles;
  readonly asked: number;
}

/** One query after another, first with nothing else to do, then for as long as an import runs. */
export async function timeQueriesDuringIngest(
  core: Core,
  questions: readonly string[],
  documents: number,
): Promise<QueriesDuringIngest> {
  const atRest: number[] = [];
  for (const question of questions) atRest.push(await timeRetrieve(core, 'all', question));
  let running = true;
  const submitter = await submitterOf(core, TENANT);
  const ingested = ingestAll(core.ingest, submitter, freshSubmissions(documents, 200)).finally(() => {
    running = false;
  });
  // looked at below, when the last question was answered
  ingested.catch(() => {});
  const during: number[] = [];
  for (let i = 0; running; i += 1)
    during.push(await timeRetrieve(core, 'all', questions[i % questions.length] ?? ''));
  await ingested;
  return { atRest: percentiles(atRest), during: percentiles(during), asked: during.length };
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
