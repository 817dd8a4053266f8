/** Files that another process wrote, which may be in somebody else's hands: what is no plain file is not read. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';

/** More than a writer's checkpoints of several years. */
const MOST_BYTES = 2 ** 30;

/**
 * The file's bytes as they are now. A link could lead to a secret or to no end, and a pipe to a wait: neither is opened.
 * @throws Error of the system, ENOENT and ELOOP among them; Error for what is no regular file, or longer than `mostBytes`
 */
export async function openUntrusted(path: string, mostBytes = MOST_BYTES): Promise<Readable> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error('it is no regular file');
    if (status.size > mostBytes) throw new Error(`it is longer than ${mostBytes} bytes`);
    if (status.size > 0) return file.createReadStream({ end: status.size - 1 });
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return Readable.from([]);
}

/** @throws as `openUntrusted` does */
export async function readUntrusted(path: string, mostBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of await openUntrusted(path, mostBytes)) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}
