/** Files that survive `kill -9` and a power cut once the promise has resolved. Owner-only. */
import { type FileHandle, link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

const OWNER_ONLY = 0o600;
/** Longer than any line written here. */
const TAIL_SIZE = 8192;

let drafts = 0;

/** Makes the file, whole or not at all; leaves one that is there, even one made meanwhile, as it is. */
export async function createFileOnce(path: string, content: string): Promise<void> {
  drafts += 1;
  const draft = `${path}.${process.pid}.${drafts}.draft`;
  await rm(draft, { force: true });
  const file = await open(draft, 'wx', OWNER_ONLY);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  await syncFolder(dirname(path));
}

/**
 * Adds lines to the end. A last line that a crash left unfinished is dropped first; `isWhole` tells whether the
 * text of one is complete, without its line break.
 */
export async function appendLines(
  path: string,
  lines: readonly string[],
  isWhole: (line: string) => boolean,
): Promise<void> {
  const file = await open(path, 'a+', OWNER_ONLY);
  try {
    const { size } = await file.stat();
    const separator = await repairTail(file, size, isWhole);
    await file.appendFile(separator + lines.map((line) => `${line}\n`).join(''));
    await file.sync();
    if (size === 0) await syncFolder(dirname(path));
  } finally {
    await file.close();
  }
}

/** Returns what must be written before the next line. */
async function repairTail(
  file: FileHandle,
  size: number,
  isWhole: (line: string) => boolean,
): Promise<'' | '\n'> {
  const from = Math.max(0, size - TAIL_SIZE);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
  const tail = buffer.subarray(0, bytesRead);
  const lastLine = tail.subarray(tail.lastIndexOf('\n') + 1);
  if (lastLine.length === 0) return '';
  if (isWhole(lastLine.toString('utf8'))) return '\n';
  await file.truncate(size - lastLine.length);
  return '';
}

/** A new file is found after a crash only when its folder was synced too. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
