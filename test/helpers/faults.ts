/** Stores that can be stopped, paused and filled, and a program under test that is asked all the while. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { appendFile, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './command.ts';
import { account, runAs } from './postgres-server.ts';

const run = promisify(execFile);

// a disk that can be full -------------------------------------------------------------------------------------------

export interface SmallDisk {
  readonly folder: string;
  /** Leaves about as many bytes free. */
  fill(leaving: number): Promise<void>;
  /** Takes away what filled it. */
  free(): Promise<void>;
  unmount(): Promise<void>;
}

/** Whether small disks can be had; where they cannot, says what is skipped. */
export async function mayMount(): Promise<boolean> {
  try {
    await (await mountSmallDisk(1)).unmount();
    return true;
  } catch {
    process.stderr.write('The tests on full disks are skipped: nothing may be mounted here (root may).\n');
    return false;
  }
}

export async function mountSmallDisk(megabytes: number): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-disk-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0777`, 'bulkhead-faults', folder]);
  const ballast = join(folder, 'ballast');
  const freeBytes = async () => {
    const { stdout } = await run('df', ['--output=avail', '-B1', folder]);
    return Number(stdout.split('\n')[1]);
  };
  return {
    folder,
    fill: async (leaving) => {
      const megabyte = Buffer.alloc(1_048_576);
      for (let left = await freeBytes(); left > leaving; left = await freeBytes())
        await appendFile(ballast, megabyte.subarray(0, Math.min(megabyte.length, left - leaving)));
    },
    free: () => rm(ballast, { force: true }),
    unmount: async () => {
      await run('umount', ['-l', folder]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

// processes that can be paused ---------------------------------------------------------------------------------------

/** The process and all below it, itself first. */
function family(pid: number): readonly number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return [pid, ...(children === '' ? [] : children.split(' ').map(Number)).flatMap(family)];
  } catch {
    return [];
  }
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids)
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended
    }
}

/** A server whose faults a test chooses. */
export interface Store {
  start(): Promise<void>;
  /** As a crash of the process: nothing is said to anybody. */
  kill(): Promise<void>;
  /** Connections stay, and nothing is answered. */
  pause(): void;
  resume(): void;
  isRunning(): boolean;
  /** For good. */
  close(): Promise<void>;
}

abstract class ProcessStore implements Store {
  #child: ChildProcess | undefined;

  protected abstract spawn(): ChildProcess;
  protected abstract isReady(): Promise<boolean>;

  async start(): Promise<void> {
    const child = this.spawn();
    this.#child = child;
    const end = () => signalAll(family(child.pid ?? -1), 'SIGKILL');
    process.once('exit', end);
    child.once('exit', () => process.off('exit', end));
    const deadline = Date.now() + 30_000;
    while (!(await this.isReady())) {
      if (child.exitCode !== null) throw new Error(`The store ended with ${child.exitCode}.`);
      if (Date.now() > deadline) throw new Error('The store did not start.');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || !this.isRunning()) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    signalAll(family(child.pid), 'SIGKILL');
    await ended;
  }

  pause(): void {
    signalAll(family(this.#child?.pid ?? -1), 'SIGSTOP');
  }

  resume(): void {
    signalAll([...family(this.#child?.pid ?? -1)].reverse(), 'SIGCONT');
  }

  isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async close(): Promise<void> {
    this.resume();
    await this.kill();
  }
}

// PostgreSQL -----------------------------------------------------------------------------------------------------------

/** A server of its own, small enough for a small disk. */
export class FragilePostgres extends ProcessStore {
  readonly #bin: string;
  readonly #data: string;
  readonly #socket: string;
  readonly #temporary: readonly string[];

  private constructor(bin: string, data: string, socket: string, temporary: readonly string[]) {
    super();
    this.#bin = bin;
    this.#data = data;
    this.#socket = socket;
    this.#temporary = temporary;
  }

  /** @param disk where its data lie; absent = a temporary folder */
  static async create(bin: string, disk?: SmallDisk): Promise<FragilePostgres> {
    const socket = await mkdtemp(join(tmpdir(), 'bulkhead-fragile-'));
    const data = join(disk?.folder ?? socket, 'data');
    await mkdir(data);
    for (const folder of [socket, data])
      if (account.uid !== undefined) await chown(folder, account.uid, account.gid);
    await run(
      join(bin, 'initdb'),
      ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N', '--wal-segsize=1'],
      { ...account, cwd: socket },
    );
    return new FragilePostgres(bin, data, socket, [socket]);
  }

  get url(): string {
    return `postgres://postgres@localhost/postgres?host=${encodeURIComponent(this.#socket)}`;
  }

  protected spawn(): ChildProcess {
    const settings = {
      listen_addresses: '',
      max_connections: '80',
      shared_buffers: '16MB',
      min_wal_size: '2MB',
      max_wal_size: '8MB',
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return spawn(join(this.#bin, 'postgres'), ['-D', this.#data, '-k', this.#socket, ...flags], {
      ...account,
      cwd: this.#socket,
      stdio: 'ignore',
    });
  }

  protected async isReady(): Promise<boolean> {
    return runAs(this.url, 'select 1').then(
      () => true,
      () => false,
    );
  }

  override async kill(): Promise<void> {
    await super.kill();
    // a server that was killed leaves its lock behind, which the next one examines and takes
    await rm(join(this.#data, 'postmaster.pid'), { force: true });
  }

  override async close(): Promise<void> {
    await super.close();
    for (const folder of this.#temporary) await rm(folder, { recursive: true, force: true });
  }
}

// Qdrant ---------------------------------------------------------------------------------------------------------------

export class FragileQdrant extends ProcessStore {
  readonly #binary: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #grpcPort: number;
  readonly #temporary: readonly string[];

  private constructor(
    binary: string,
    folder: string,
    [port, grpcPort]: readonly [number, number],
    temporary: readonly string[],
  ) {
    super();
    this.#binary = binary;
    this.#folder = folder;
    this.#port = port;
    this.#grpcPort = grpcPort;
    this.#temporary = temporary;
  }

  /** @param disk where its data lie; absent = a temporary folder */
  static async create(binary: string, disk?: SmallDisk): Promise<FragileQdrant> {
    const home = disk?.folder ?? (await mkdtemp(join(tmpdir(), 'bulkhead-qdrant-')));
    const ports = [await freePort(), await freePort()] as const;
    return new FragileQdrant(binary, home, ports, disk === undefined ? [home] : []);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  protected spawn(): ChildProcess {
    return spawn(this.#binary, ['--disable-telemetry'], {
      cwd: this.#folder,
      stdio: 'ignore',
      env: {
        PATH: process.env.PATH ?? '',
        QDRANT__SERVICE__HOST: '127.0.0.1',
        QDRANT__SERVICE__HTTP_PORT: String(this.#port),
        QDRANT__SERVICE__GRPC_PORT: String(this.#grpcPort),
        QDRANT__STORAGE__STORAGE_PATH: join(this.#folder, 'storage'),
        QDRANT__STORAGE__SNAPSHOTS_PATH: join(this.#folder, 'snapshots'),
        QDRANT__STORAGE__WAL__WAL_CAPACITY_MB: '1',
      },
    });
  }

  protected async isReady(): Promise<boolean> {
    return fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  override async close(): Promise<void> {
    await super.close();
    for (const folder of this.#temporary) await rm(folder, { recursive: true, force: true });
  }
}
