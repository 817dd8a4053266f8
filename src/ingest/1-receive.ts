import { createHash } from 'node:crypto';
import { BulkheadError } from '../errors.ts';
import type { OwnAccess } from '../store/access-classes.ts';
import type { DocumentKey, IngestContainer, ManagedDocuments, PresentDocument } from '../store/documents.ts';
import { failed, invalid, type Step, type Submission, type Unreadable } from './submission.ts';

/** A submission with what it meets: its container and, perhaps, an earlier version. */
export interface Received {
  readonly submission: Submission;
  readonly container: IngestContainer;
  readonly present: PresentDocument | undefined;
  /** What a document of this name said about its access when it was deleted. */
  readonly remembered: OwnAccess | undefined;
  /** SHA-256 of the bytes. */
  readonly contentHash: Uint8Array;
}

const LONGEST_NAME = 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: names are shown to people and kept in text columns
const CONTROL = /[\u0000-\u001F\u007F]/;

/**
 * Looks up containers and earlier versions of some submissions at once, in their order. A container without the
 * right `ingest` and one that does not exist give the same `unknown_container`.
 */
export async function receive(
  documents: ManagedDocuments,
  submissions: readonly (Submission | Unreadable)[],
): Promise<readonly Step<Received>[]> {
  const readable = submissions.flatMap((submission) => ('unreadable' in submission ? [] : [submission]));
  const containers = await documents.containers(readable.map(({ container }) => container));
  const keys = readable.flatMap((submission) => keyOf(submission, containers) ?? []);
  const present = new Map((await documents.present(keys)).map((found) => [keyText(found), found]));
  const gone = await documents.remembered(keys.filter((key) => !present.has(keyText(key))));
  const remembered = new Map(gone.map(({ access, ...key }) => [keyText(key), access]));
  return submissions.map((submission) => {
    if ('unreadable' in submission)
      return { kind: 'result', result: failed(submission, submission.unreadable) };
    try {
      return { kind: 'work', work: receiveOne(submission, containers, present, remembered) };
    } catch (error) {
      return { kind: 'result', result: failed(submission, error) };
    }
  });
}

function receiveOne(
  submission: Submission,
  containers: ReadonlyMap<string, IngestContainer>,
  present: ReadonlyMap<string, PresentDocument>,
  remembered: ReadonlyMap<string, OwnAccess>,
): Received {
  refuseName('source', submission.source);
  refuseName('externalId', submission.externalId);
  const container = containers.get(submission.container);
  const key = keyOf(submission, containers);
  if (container === undefined || key === undefined)
    throw new BulkheadError('unknown_container', 'There is no such container, or not for you.');
  return {
    submission,
    container,
    present: present.get(keyText(key)),
    remembered: remembered.get(keyText(key)),
    contentHash: createHash('sha256').update(submission.bytes).digest(),
  };
}

function refuseName(path: string, name: string): void {
  if (name.trim() === '') throw invalid(path, 'is empty');
  if (name.length > LONGEST_NAME) throw invalid(path, `is longer than ${LONGEST_NAME} characters`);
  if (CONTROL.test(name)) throw invalid(path, 'has a control character');
}

/** Names that Postgres could not take are not looked up; they are refused afterwards. */
function keyOf(
  submission: Submission,
  containers: ReadonlyMap<string, IngestContainer>,
): DocumentKey | undefined {
  const container = containers.get(submission.container);
  const { source, externalId } = submission;
  if (container === undefined || CONTROL.test(source) || CONTROL.test(externalId)) return undefined;
  return { source, externalId, container: container.id };
}

const keyText = ({ source, container, externalId }: DocumentKey): string =>
  JSON.stringify([source, container, externalId]);
