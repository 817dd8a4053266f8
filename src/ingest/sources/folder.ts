/** A folder on disk as a source: folders are containers, files are documents, rows of a file of many are too. */
import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError, toBulkheadError } from '../../errors.ts';
import { readDate } from '../2-parse.ts';
import { type AccessFields, parseAclFile, readAccessFields } from '../parsers/access-fields.ts';
import { decode } from '../parsers/decode.ts';
import { mediaTypeOf } from '../parsers/media-type.ts';
import { parseRows } from '../parsers/rows.ts';
import type { Submission, Unreadable } from '../submission.ts';

/** A folder as a container. */
export interface ContainerDefinition {
  /** `/` for the folder itself. */
  readonly path: string;
  /** From its `.acl.yaml`; `undefined` without that file. */
  readonly access: AccessFields | undefined;
}

export interface FolderContent {
  /** Parents before children. */
  readonly containers: readonly ContainerDefinition[];
  /** Folders whose `.acl.yaml` could not be read: neither they nor what is below them is there. */
  readonly unreadable: readonly Unreadable[];
  readonly documents: () => AsyncGenerator<Submission | Unreadable>;
}

export interface FolderOptions {
  /** The name of the source; `folder` by default. */
  readonly source?: string | undefined;
  readonly batch?: string | undefined;
  /** Only these files of the folder itself, and nothing below it; all by default. */
  readonly only?: readonly string[] | undefined;
  /** A longer file is refused. */
  readonly maxBytes?: number | undefined;
}

interface Folder {
  readonly path: string;
  readonly access: AccessFields | undefined;
  readonly files: readonly string[];
}

const ACL_FILE = '.acl.yaml';
const ROWS: ReadonlySet<string | undefined> = new Set(['application/jsonl', 'text/csv']);
const DEFAULT_MAX_BYTES = 32 * 1024 * 1024;

/**
 * Reads the tree of folders, and the files later, one at a time. Files and folders that begin with a dot are passed
 * over. Links are not followed: what they lead to has an access of its own elsewhere.
 * @param root absolute path
 * @throws BulkheadError `unreadable_file` when the folder itself cannot be read
 */
export async function readFolder(root: string, options: FolderOptions = {}): Promise<FolderContent> {
  const folders: Folder[] = [];
  const unreadable: Unreadable[] = [];
  await walk(root, '', options, folders, unreadable);
  if (folders.length === 0 && unreadable[0] !== undefined) throw unreadable[0].unreadable;
  return {
    containers: folders.map(({ path, access }) => ({ path: `/${path}`, access })),
    unreadable,
    documents: () => documentsOf(root, folders, options),
  };
}

async function walk(
  root: string,
  path: string,
  options: FolderOptions,
  folders: Folder[],
  unreadable: Unreadable[],
): Promise<void> {
  const only = options.only && new Set(options.only);
  const isWanted = (name: string) =>
    only === undefined ? !name.startsWith('.') : only.has(name) || name.endsWith(ACL_FILE);
  try {
    const entries = await readdir(join(root, path), { withFileTypes: true });
    const names = (keep: (entry: (typeof entries)[number]) => boolean) =>
      entries
        .filter(keep)
        .map(({ name }) => name)
        .sort();
    const access = await readAcl(
      root,
      within(path, ACL_FILE),
      entries.some(({ name }) => name === ACL_FILE),
    );
    folders.push({
      path,
      access,
      files: names((entry) => !entry.isDirectory() && isWanted(entry.name)),
    });
    if (only !== undefined) return;
    for (const name of names((entry) => entry.isDirectory() && !entry.name.startsWith('.')))
      await walk(root, within(path, name), options, folders, unreadable);
  } catch (error) {
    unreadable.push({ externalId: within(path, ACL_FILE), unreadable: toReadable(error) });
  }
}

async function* documentsOf(
  root: string,
  folders: readonly Folder[],
  options: FolderOptions,
): AsyncGenerator<Submission | Unreadable> {
  for (const { path, files } of folders) {
    const sidecars = new Set(files.filter((name) => name.endsWith(ACL_FILE)));
    for (const name of files) {
      if (sidecars.has(name)) continue;
      const externalId = within(path, name);
      try {
        const sidecar = await readAcl(root, `${externalId}${ACL_FILE}`, sidecars.has(`${name}${ACL_FILE}`));
        yield* submissionsOf(root, `/${path}`, externalId, sidecar, options);
      } catch (error) {
        yield { externalId, unreadable: toReadable(error) };
      }
    }
  }
}

async function* submissionsOf(
  root: string,
  container: string,
  externalId: string,
  sidecar: AccessFields | undefined,
  options: FolderOptions,
): AsyncGenerator<Submission | Unreadable> {
  const mediaType = mediaTypeOf(externalId);
  if (mediaType === undefined)
    throw new BulkheadError('unsupported_media_type', 'The file is of no type that is read here.');
  const bytes = await readBytes(root, externalId, options.maxBytes ?? DEFAULT_MAX_BYTES);
  const shared = { source: options.source ?? 'folder', container, sidecar, batch: options.batch };
  const name = externalId.split('/').at(-1);
  if (ROWS.has(mediaType)) yield* rowsOf(bytes, mediaType, externalId, shared);
  else yield { ...shared, externalId, name, mediaType, bytes };
}

function* rowsOf(
  bytes: Uint8Array,
  mediaType: string,
  file: string,
  shared: Pick<Submission, 'source' | 'container' | 'sidecar' | 'batch'>,
): Generator<Submission | Unreadable> {
  for (const result of parseRows(decode(bytes), mediaType)) {
    if (!result.ok) {
      yield { externalId: `${file}#line-${result.line}`, unreadable: result.error, line: result.line };
      continue;
    }
    const { id, title, text, fields, line } = result.row;
    const externalId = `${file}#${id}`;
    try {
      yield {
        ...shared,
        externalId,
        name: id,
        title,
        mediaType: 'text/plain',
        bytes: new TextEncoder().encode(text),
        access: readAccessFields(fields),
        date: readDate(fields.date),
        line,
      };
    } catch (error) {
      yield { externalId, unreadable: toReadable(error), line };
    }
  }
}

async function readAcl(root: string, file: string, isThere: boolean): Promise<AccessFields | undefined> {
  return isThere ? parseAclFile(decodeAcl(await readBytes(root, file, DEFAULT_MAX_BYTES))) : undefined;
}

/** An empty file says nothing, which is not the same as a document that cannot be read. */
function decodeAcl(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : decode(bytes);
}

async function readBytes(root: string, path: string, maxBytes: number): Promise<Uint8Array> {
  const file = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat().then((stat) => {
      if (!stat.isFile()) throw new BulkheadError('unreadable_file', 'This is not a regular file.');
      return stat;
    });
    if (size > maxBytes)
      throw new BulkheadError('payload_too_large', `The file is longer than ${maxBytes} bytes.`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** What the file system says is told by its code; a path would name the machine's folders. */
function toReadable(error: unknown): BulkheadError {
  if (error instanceof BulkheadError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === undefined) return toBulkheadError(error);
  const reason = code === 'ELOOP' ? 'it is a link, which is not followed' : code;
  return new BulkheadError('unreadable_file', `The file could not be read: ${reason}.`, { cause: error });
}

function within(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}
