import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BulkheadError } from '../errors.ts';

/** Who has the data folder. `url` is set once a server answers there. */
export interface LockHolder {
  readonly pid: number;
  /** The kernel's start time of that process: a reused pid is not the same process. */
  readonly startTime: string;
  readonly url?: string | undefined;
}

export interface DataFolderLock {
  /** Says where the server that holds the folder answers, for the command line to find it. */
  announce(url: string): void;
  release(): void;
}

const lockFile = (folder: string) => join(folder, 'bulkhead.lock');

/**
 * Takes the folder for this process. PGlite itself does not: two processes in one folder lose rows silently.
 * A lock whose process is gone (`kill -9`) is taken over at once.
 * @throws BulkheadError `data_folder_locked` while another live process has it
 */
export function lockDataFolder(folder: string): DataFolderLock {
  const mine: LockHolder = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
  const file = lockFile(folder);
  const holder = dataFolderHolder(folder);
  if (holder !== undefined) throw lockedBy(folder, holder);
  rmSync(file, { force: true });
  claim(file, mine, folder);
  return {
    announce: (url) => writeFileSync(file, JSON.stringify({ ...mine, url })),
    release: () => rmSync(file, { force: true }),
  };
}

/** The live process that has the folder, if any. */
export function dataFolderHolder(folder: string): LockHolder | undefined {
  const holder = readHolder(lockFile(folder));
  if (holder === undefined) return undefined;
  const startTime = startTimeOf(holder.pid);
  return startTime !== undefined && startTime === holder.startTime ? holder : undefined;
}

/** A hard link is made atomically and only where nothing is: of two processes one gets it. */
function claim(file: string, mine: LockHolder, folder: string): void {
  const draft = `${file}.${mine.pid}`;
  writeFileSync(draft, JSON.stringify(mine));
  try {
    linkSync(draft, file);
  } catch (error) {
    const holder = dataFolderHolder(folder);
    throw holder === undefined ? error : lockedBy(folder, holder);
  } finally {
    unlinkSync(draft);
  }
}

function lockedBy(folder: string, holder: LockHolder): BulkheadError {
  const where = holder.url === undefined ? '' : ` and answers at ${holder.url}`;
  return new BulkheadError(
    'data_folder_locked',
    `The data folder ${folder} is in use by process ${holder.pid}${where}. Stop it, or set BULKHEAD_DATA to another folder.`,
  );
}

function readHolder(file: string): LockHolder | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as LockHolder;
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/<pid>/stat; where there is no /proc, the pid alone has to do. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return isAlive(pid) && process.platform !== 'linux' ? 'alive' : undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
