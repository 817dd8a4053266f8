import { ensureContainers } from './ensure-containers.ts';
import { ingestMany } from './ingest.ts';
import { type FolderOptions, readFolder } from './sources/folder.ts';
import { failed, type IngestParts, type IngestResult, type Submitter } from './submission.ts';

export interface FolderIngestOptions extends FolderOptions {
  /** Told of the containers that are there already and not as their `.acl.yaml` says; they are left as they are. */
  readonly onDiffering?: ((paths: readonly string[]) => void) | undefined;
}

/**
 * Makes the containers of a folder and ingests its documents.
 * @param root absolute path
 * @returns a result for each document, and before them for each container that could not be made
 * @throws BulkheadError `unreadable_file` when the folder itself cannot be read
 */
export async function* ingestFolder(
  parts: IngestParts,
  submitter: Submitter,
  root: string,
  options: FolderIngestOptions = {},
): AsyncGenerator<IngestResult> {
  const folder = await readFolder(root, options);
  for (const item of folder.unreadable) yield failed(item, item.unreadable);
  const ensured = await ensureContainers(parts, submitter, folder.containers);
  if (ensured.differing.length > 0) options.onDiffering?.(ensured.differing);
  yield* ensured.failed;
  yield* ingestMany(parts, submitter, folder.documents());
}
