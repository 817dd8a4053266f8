/** Fetches a model from the Hugging Face Hub, once, at a pinned revision, and keeps only what has the right hash. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BulkheadError } from '../errors.ts';
import type { FileHashes } from './model-files.ts';
import type { HubSource } from './model-manifest.ts';

export interface HubDownload {
  readonly source: HubSource;
  readonly files: FileHashes;
  /** Models are kept in folders below this one, by repository and revision. */
  readonly cacheFolder: string;
  /** For instance `https://huggingface.co`, or a mirror of it. */
  readonly baseUrl: string;
}

/**
 * Downloads the files that are not in the cache yet. A file is moved in place only after its hash was checked, so
 * that a broken download never looks like a model.
 *
 * @returns the model's folder, absolute
 * @throws {BulkheadError} `model_missing` when a file cannot be had, `model_tampered` when it has another hash
 */
export async function downloadModel({ source, files, cacheFolder, baseUrl }: HubDownload): Promise<string> {
  const folder = resolve(cacheFolder, `${source.repo.replace('/', '--')}@${source.revision}`);
  await mkdir(folder, { recursive: true });
  const scratch = await mkdtemp(join(cacheFolder, '.download-'));
  try {
    for (const [file, expected] of Object.entries(files)) {
      if (await exists(join(folder, file))) continue;
      const url = `${baseUrl}/${source.repo}/resolve/${source.revision}/${file}`;
      const received = join(scratch, 'file');
      await fetchChecked(url, received, expected);
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await rename(received, join(folder, file));
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return folder;
}

async function fetchChecked(url: string, path: string, expected: string): Promise<void> {
  const received = await fetchTo(url, path);
  if (received !== expected) {
    throw new BulkheadError(
      'model_tampered',
      `${url} does not have the hash in the manifest and was discarded.`,
    );
  }
}

/** Writes the body to a file and returns its SHA-256. */
async function fetchTo(url: string, path: string): Promise<string> {
  const hash = createHash('sha256');
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  try {
    const response = await fetch(url);
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
    await pipeline(Readable.from(response.body), tap, createWriteStream(path));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown';
    throw new BulkheadError('model_missing', `${url} could not be downloaded (${why}).`, { cause });
  }
  return hash.digest('hex');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
