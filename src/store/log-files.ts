import { readdirSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

/** Two writes within one tick of the file system's clock leave the same time: only an older one tells them apart. */
const TICK_MS = 1_000;

/** The write-ahead log of the embedded engine, which itself never syncs a file. */
export class LogFiles {
  readonly #folder: string;
  /** By name: the time of the last write that is known to be on disk. */
  readonly #synced = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Resolves when all that was written so far survives `kill -9` and, as far as the disk is honest, a power cut. */
  async sync(): Promise<void> {
    for (const { name, writtenAt } of this.#unsynced()) {
      const isSettled = Date.now() - writtenAt > TICK_MS;
      const file = await openIfThere(join(this.#folder, name));
      if (file === undefined) continue;
      try {
        await file.datasync();
      } finally {
        await file.close();
      }
      if (isSettled) this.#synced.set(name, writtenAt);
    }
  }

  /** Nearly always one of many: the others wait to be written to, or have been synced. */
  #unsynced(): readonly { readonly name: string; readonly writtenAt: number }[] {
    const names = readdirSync(this.#folder).filter((name) => /^[0-9A-F]{24}$/.test(name));
    return names.flatMap((name) => {
      // a checkpoint may recycle a log file while we look; what was in it is in the tables' files by then
      const writtenAt = statSync(join(this.#folder, name), { throwIfNoEntry: false })?.mtimeMs;
      return writtenAt === undefined || this.#synced.get(name) === writtenAt ? [] : [{ name, writtenAt }];
    });
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
