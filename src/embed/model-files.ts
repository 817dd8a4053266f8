/** Are the files in a model's folder the ones its manifest lists, and only those? */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BulkheadError } from '../errors.ts';

/** File name relative to the model's folder, with `/`, → SHA-256 in lower-case hex. */
export type FileHashes = Readonly<Record<string, string>>;

/**
 * What the loader opens: configuration, tokenizer, templates and graphs, and whatever lies beside the graphs, since a
 * graph may keep its weights in a file of any name there.
 */
const READ_BY_LOADER = /\.(?:json|jinja|onnx|onnx_data(?:_\d+)?)$|^onnx\//i;

/** Our own file, which the loader does not know. */
const MANIFEST_NAME = 'manifest.json';

const READ_SIZE = 1 << 20;

/**
 * Hashes every listed file and looks for others that the loader could read in their place.
 *
 * @throws {BulkheadError} `model_missing` or `model_tampered`, naming the file
 */
export async function verifyModelFiles(folder: string, files: FileHashes): Promise<void> {
  for (const file of await loaderFiles(folder)) {
    if (files[file] === undefined) {
      throw new BulkheadError('model_tampered', `${join(folder, file)} is not in the model's manifest.`);
    }
  }
  for (const [file, expected] of Object.entries(files)) {
    if ((await hashFile(join(folder, file))) !== expected) {
      throw new BulkheadError(
        'model_tampered',
        `${join(folder, file)} does not have the hash in the manifest.`,
      );
    }
  }
}

/**
 * The files of a model's folder that the loader could read, sorted, relative to it.
 *
 * @throws {BulkheadError} `model_missing` when there is no such folder; `model_tampered` when a link leads to a folder,
 *   whose files could not be told from the model's own
 */
export async function loaderFiles(folder: string): Promise<string[]> {
  const files = await filesUnder(folder, '');
  return files.filter((file) => READ_BY_LOADER.test(file) && file !== MANIFEST_NAME).sort();
}

async function filesUnder(root: string, below: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await entriesOf(join(root, below))) {
    const file = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesUnder(root, file)));
    else if (entry.isSymbolicLink() && (await leadsToFolder(join(root, file)))) {
      throw new BulkheadError(
        'model_tampered',
        `${join(root, file)} is a link to a folder, which a model may not hold.`,
      );
    } else found.push(file);
  }
  return found;
}

/**
 * @returns SHA-256 in lower-case hex
 * @throws {BulkheadError} `model_missing` when the file cannot be read
 */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path, { highWaterMark: READ_SIZE }), hash);
  } catch (cause) {
    throw new BulkheadError('model_missing', `${path} could not be read.`, { cause });
  }
  return hash.digest('hex');
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw new BulkheadError('model_missing', `The model folder ${folder} could not be read.`, { cause });
  }
}

/** A dangling link leads nowhere: if the manifest lists it, hashing reports it missing. */
async function leadsToFolder(link: string): Promise<boolean> {
  try {
    return (await stat(link)).isDirectory();
  } catch {
    return false;
  }
}
