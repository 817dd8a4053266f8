/** Stage 7 and the index, for what is ready at one time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError } from '../errors.ts';
import type { DocumentId } from '../policy/ids.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { type Received, receive } from './1-receive.ts';
import { type Embedded, embed } from './6-embed.ts';
import { type Written, write } from './7-write.ts';
import { PrincipalNames, prepare } from './prepare.ts';
import { failed, type IngestParts, type IngestResult, type Step, type Submitter } from './submission.ts';

/** A document that others keep changing is given up after this many tries. */
const MOST_TRIES = 8;
/** Five seconds in all. */
const MOST_DRAINS = 100;
const BETWEEN_DRAINS_MS = 50;
const LONGEST_DRAIN_MS = 10_000;

/** Writes what is to be written, waits for the index, and returns the results in the order of the steps. */
export async function finish(
  parts: IngestParts,
  submitter: Submitter,
  steps: readonly Step<Embedded>[],
): Promise<readonly IngestResult[]> {
  const works = steps.flatMap((step) => (step.kind === 'work' ? [step.work] : []));
  const written = await writeTogether(parts, submitter, works);
  const results: IngestResult[] = [];
  for (const step of steps) {
    const next = step.kind === 'work' ? written.shift() : undefined;
    if (step.kind === 'result') results.push(step.result);
    else if (next !== undefined && !('kind' in next)) results.push(next);
    else if (next?.kind === 'written') results.push(next.result);
    else results.push(await again(parts, submitter, step.work));
  }
  return awaitIndex(parts, results);
}

/** In one transaction; if that fails, each in its own, so that one document stops no other. */
async function writeTogether(
  parts: IngestParts,
  submitter: Submitter,
  group: readonly Embedded[],
): Promise<(Written | IngestResult)[]> {
  if (group.length === 0) return [];
  try {
    return [...(await write(parts, submitter, group))];
  } catch (error) {
    const [only, ...others] = group;
    if (only !== undefined && others.length === 0) return [failed(only.submission, error)];
    const written: (Written | IngestResult)[] = [];
    for (const one of group) written.push(...(await writeTogether(parts, submitter, [one])));
    return written;
  }
}

/** Once more from the start, for a document that somebody else changed while it was on its way. */
async function again(parts: IngestParts, submitter: Submitter, received: Received): Promise<IngestResult> {
  const { submission } = received;
  const documents = ManagedDocuments.as(parts.database, submitter.authority.context);
  try {
    for (let tries = 1; tries < MOST_TRIES; tries += 1) {
      const result = await once(parts, submitter, documents, submission);
      if (result !== undefined) return result;
    }
  } catch (error) {
    return failed(submission, error);
  }
  const conflict = new BulkheadError('conflict', 'The document is being changed by somebody else.');
  return failed(submission, conflict);
}

async function once(
  parts: IngestParts,
  submitter: Submitter,
  documents: ManagedDocuments,
  submission: Received['submission'],
): Promise<IngestResult | undefined> {
  const [received] = await receive(documents, [submission]);
  if (received?.kind !== 'work') return received?.result;
  const prepared = await prepare(parts, submitter, new PrincipalNames(documents), received.work);
  if (prepared.kind === 'result') return prepared.result;
  const { tenant } = submitter.authority.subject;
  const [written] = await write(parts, submitter, [await embed(prepared.work, parts, tenant)]);
  return written?.kind === 'written' ? written.result : undefined;
}

/** Where this process brings documents into the index, one that is not yet there is not finished. */
async function awaitIndex(
  { indexer }: IngestParts,
  results: readonly IngestResult[],
): Promise<readonly IngestResult[]> {
  const changed = results.flatMap(({ status, documentId: document, version }) =>
    document === undefined || version === undefined || status === 'unchanged' || status === 'failed'
      ? []
      : [{ document, version }],
  );
  if (changed.length === 0) return results;
  if (indexer === undefined) return markPending(results, new Set(changed.map(({ document }) => document)));
  const pending = await drainUntilTaken(indexer, changed);
  return results.map((result) => {
    if (result.documentId === undefined || !pending.has(result.documentId)) return result;
    return { ...result, ...failed(result, stillPending()) };
  });
}

function markPending(
  results: readonly IngestResult[],
  changed: ReadonlySet<DocumentId>,
): readonly IngestResult[] {
  return results.map((result) =>
    result.documentId !== undefined && changed.has(result.documentId)
      ? { ...result, isPending: true }
      : result,
  );
}

/** Another process may be draining the same documents; it is given its time. A store that hangs is not waited for. */
async function drainUntilTaken(
  indexer: NonNullable<IngestParts['indexer']>,
  changed: Parameters<NonNullable<IngestParts['indexer']>['pending']>[0],
): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
  for (let tries = 1; ; tries += 1) {
    const hangs = await isLongerThan(LONGEST_DRAIN_MS, indexer.drain());
    const pending = await indexer.pending(changed);
    if (hangs || tries === MOST_DRAINS || ![...pending.values()].includes('under-way')) return pending;
    await sleep(BETWEEN_DRAINS_MS);
  }
}

async function isLongerThan(ms: number, work: Promise<unknown>): Promise<boolean> {
  const waiting = new AbortController();
  const late = sleep(ms, true, { signal: waiting.signal }).catch(() => false);
  const done = work.then(
    () => false,
    () => false,
  );
  return Promise.race([done, late]).finally(() => waiting.abort());
}

function stillPending(): BulkheadError {
  return new BulkheadError(
    'index_unavailable',
    'The document is stored and will be found as soon as the index has taken it.',
  );
}
