/** The arguments of `bulkhead ingest`, read: containers to be there, and documents as the API takes them. */
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { BulkheadError, toBulkheadError } from '../errors.ts';
import { type ContainerDefinition, type FolderContent, readFolder } from '../ingest/sources/folder.ts';
import type { Submission, Unreadable } from '../ingest/submission.ts';
import type { Failure } from './ingest-report.ts';
import { lineOf } from './problem.ts';
import { toUpload, type Upload } from './upload.ts';

interface PathOptions {
  /** Stands for each folder given. */
  readonly container: string;
  readonly source: string;
  /** Names, lowest first. */
  readonly levels: readonly string[];
}

export interface Paths {
  /** Parents before children. */
  readonly containers: readonly ContainerDefinition[];
  readonly unreadable: readonly Failure[];
  /** Reads the files anew each time. */
  documents(): AsyncGenerator<Upload | Failure>;
}

/** What is wrong with one path is a failure of its own. */
export async function readPaths(paths: readonly string[], options: PathOptions): Promise<Paths> {
  const contents: FolderContent[] = [];
  const unreadable: Failure[] = [];
  for (const { root, only, name } of await rootsOf(paths, unreadable)) {
    try {
      const content = await readFolder(root, { source: options.source, only });
      contents.push(content);
      unreadable.push(...content.unreadable.map(toFailure));
    } catch (error) {
      unreadable.push({ name, error: lineOf(toBulkheadError(error)) });
    }
  }
  return {
    containers: [
      ...above(options.container),
      ...contents.flatMap((content) => placed(content.containers, options)),
    ],
    unreadable,
    documents: () => documentsOf(contents, options),
  };
}

interface Root {
  /** As it was given. */
  readonly name: string;
  readonly root: string;
  readonly only?: string[] | undefined;
}

/** Files of one folder are read together. */
async function rootsOf(paths: readonly string[], unreadable: Failure[]): Promise<readonly Root[]> {
  const roots: Root[] = [];
  const byFolder = new Map<string, string[]>();
  for (const path of paths) {
    const absolute = resolve(path);
    const isFolder = await stat(absolute).then(
      (found) => found.isDirectory(),
      (error: NodeJS.ErrnoException) => void unreadable.push({ name: path, error: unreadableLine(error) }),
    );
    if (isFolder === undefined) continue;
    if (isFolder) roots.push({ name: path, root: absolute });
    else {
      const folder = dirname(absolute);
      const only = byFolder.get(folder) ?? [];
      if (only.length === 0) roots.push({ name: path, root: folder, only });
      only.push(basename(absolute));
      byFolder.set(folder, only);
    }
  }
  return roots;
}

function unreadableLine({ code, message }: NodeJS.ErrnoException): string {
  const reason = code === 'ENOENT' ? 'there is no such file' : (code ?? message);
  return lineOf(new BulkheadError('unreadable_file', `It could not be read: ${reason}.`));
}

/** The containers from the root to where all is put. */
function above(container: string): readonly ContainerDefinition[] {
  const names = container.split('/').filter((name) => name !== '');
  return names.slice(0, -1).map((_, i) => ({
    path: `/${names.slice(0, i + 1).join('/')}`,
    access: undefined,
  }));
}

function placed(
  containers: readonly ContainerDefinition[],
  { container }: PathOptions,
): readonly ContainerDefinition[] {
  return containers.map(({ path, access }) => ({ path: within(container, path), access }));
}

function within(container: string, path: string): string {
  return `/${[...container.split('/'), ...path.split('/')].filter((name) => name !== '').join('/')}`;
}

async function* documentsOf(
  contents: readonly FolderContent[],
  options: PathOptions,
): AsyncGenerator<Upload | Failure> {
  const claimed = new Map<string, number>();
  for (const [root, { documents }] of contents.entries())
    for await (const document of documents()) {
      if ('unreadable' in document) yield toFailure(document);
      else yield place(document, root, claimed, options);
    }
}

/** Two folders given at once may hold a file of one name: the second would replace the first. */
function place(
  document: Submission,
  root: number,
  claimed: Map<string, number>,
  { container, levels }: PathOptions,
): Upload | Failure {
  const name = document.externalId;
  try {
    const there = { ...document, container: within(container, document.container) };
    const key = JSON.stringify([there.container, name]);
    if ((claimed.get(key) ?? root) !== root)
      throw new BulkheadError(
        'conflict',
        'Another folder of this call has a file of this name for this container.',
      );
    claimed.set(key, root);
    return toUpload(there, levels);
  } catch (error) {
    return { name, error: lineOf(toBulkheadError(error)) };
  }
}

function toFailure({ externalId, unreadable, line }: Unreadable): Failure {
  const where = line === undefined || externalId.endsWith(`#line-${line}`) ? '' : ` (line ${line})`;
  return { name: `${externalId}${where}`, error: lineOf(unreadable) };
}
