/**
 * The way of one document (design §5):
 *
 *   1 receive → 2 parse → 3 inspect → 4 label → 5 split → 6 embed → 7 write → index
 *
 * Many go through at once: reading runs ahead of embedding and embedding ahead of writing, each by a bounded amount.
 */
import { BulkheadError } from '../errors.ts';
import type { DocumentId } from '../policy/ids.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { type Received, receive } from './1-receive.ts';
import { type Embedded, embed, type Split } from './6-embed.ts';
import { byWhom, write } from './7-write.ts';
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

const RECEIVED_AT_ONCE = 16;
/** In chunks. */
const SPLIT_AHEAD = 64;
const EMBEDDED_AHEAD = 64;
const WRITTEN_AT_ONCE = 32;
const CHUNKS_BETWEEN_MAINTENANCE = 2048;
const CHUNKS_WORTH_MAINTENANCE = 200;
/** A document that others keep changing is given up after this many tries. */
const MOST_TRIES = 3;

/**
 * Ingests documents as they come and yields a result for each as it is finished: durable, and in the index. What is
 * wrong with one document is its result and stops no other. Memory is bounded: the source is read as fast as the
 * results are.
 * @throws DatabaseError when the database is gone; what was not yet yielded may or may not have been written
 */
export async function* ingestMany(
  parts: IngestParts,
  submitter: Submitter,
  submissions: AsyncIterable<Submission | Unreadable> | Iterable<Submission | Unreadable>,
): AsyncGenerator<IngestResult> {
  const documents = ManagedDocuments.as(parts.database, submitter.authority.context);
  const names = new PrincipalNames(documents);
  const underWay = new UnderWay();

  const received = receiveAll(documents, underWay, submissions);
  const split = mapAhead(received, (step) => onWork(step, (work) => prepare(parts, submitter, names, work)), {
    limit: RECEIVED_AT_ONCE,
    weigh: () => 1,
  });
  const embedded = mapAhead(split, (step) => onWork(step, (work) => embedOne(parts, work)), {
    limit: SPLIT_AHEAD,
    weigh: chunksOf,
  });
  let unmaintained = 0;
  let total = 0;
  for await (const group of groupReady(embedded, { limit: WRITTEN_AT_ONCE, weigh: chunksOf })) {
    for (const result of await finish(parts, submitter, group)) {
      underWay.done(result.externalId);
      unmaintained += result.chunks ?? 0;
      total += result.chunks ?? 0;
      yield result;
    }
    if (unmaintained >= CHUNKS_BETWEEN_MAINTENANCE) {
      await parts.database.maintain();
      unmaintained = 0;
    }
    // a query that waits for the one connection of the embedded engine gets its turn
    await turn();
  }
  if (total > CHUNKS_WORTH_MAINTENANCE && unmaintained > 0) await parts.database.maintain();
}
