import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { PostgresOptions } from '../../src/store/open-postgres.ts';

const run = promisify(execFile);

/** A throw-away PostgreSQL server on a unix socket in a temporary folder, reachable from this machine only. */
export interface PostgresServer {
  /** Address of a new, empty database, as the server's superuser or as the role given. */
  readonly createDatabase: () => Promise<(role?: string) => string>;
  /** Its unix socket lies here. */
  readonly folder: string;
  /** Sent to the server process itself: `SIGSTOP` and `SIGCONT` pause it, but not its backends. */
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export interface ServerOptions {
  /** As in postgresql.conf, over the ones of all tests. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf; by default everybody is trusted. */
  readonly access?: readonly string[];
  /** Files that go into the data folder, such as a certificate, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Where the programs of the newest server of this machine are that has pgvector. Without one, says once what is
 * skipped and how to get it; where `BULKHEAD_REQUIRE_POSTGRES` is `true`, skipping is a failure.
 */
export async function findPostgres(): Promise<string | undefined> {
  const found = await lookForServer();
  if ('bin' in found) return found.bin;
  const line = `The tests on a PostgreSQL server are skipped: ${found.missing}.\n`;
  if (process.env.BULKHEAD_REQUIRE_POSTGRES === 'true') throw new Error(line);
  process.stderr.write(line);
  return undefined;
}

async function lookForServer(): Promise<{ readonly bin: string } | { readonly missing: string }> {
  const candidates = HOMES.flatMap(([folder, name]) => versionsIn(folder, name));
  const howTo =
    'install PostgreSQL 15 or newer with pgvector (apt-get install postgresql-15 postgresql-15-pgvector)';
  if (candidates.length === 0) return { missing: `there is no PostgreSQL server here; ${howTo}` };
  for (const bin of candidates) {
    const { stdout } = await run(join(bin, 'pg_config'), ['--sharedir']);
    if (existsSync(join(stdout.trim(), 'extension/vector.control'))) return { bin };
  }
  return { missing: `the PostgreSQL server here has no pgvector; ${howTo}` };
}

/** Where packages put servers: a folder, and how its entries are named. */
const HOMES: readonly (readonly [folder: string, name: RegExp])[] = [
  ['/usr/lib/postgresql', /^(\d+)$/],
  ['/opt/homebrew/opt', /^postgresql@(\d+)$/],
  ['/usr/local/opt', /^postgresql@(\d+)$/],
];

/** Folders of programs, newest version first; older than 15 is not served. */
function versionsIn(folder: string, name: RegExp): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((entry) => ({ entry, version: Number(name.exec(entry)?.[1]) }))
    .filter(({ version }) => version >= 15)
    .sort((a, b) => b.version - a.version)
    .map(({ entry }) => join(folder, entry, 'bin'))
    .filter((bin) => existsSync(join(bin, 'initdb')));
}

/** What `postgres` refuses to be: root. Its folder is given to `nobody` then. */
const NOBODY = 65534;
export const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

// commits are stamped, so that a test can tell which of two came first
const SETTINGS = {
  listen_addresses: '',
  fsync: 'off',
  track_commit_timestamp: 'on',
  max_connections: '60',
};

/** @param bin as `findPostgres` found it */
export async function startPostgres(
  bin: string | undefined,
  { settings = {}, access, files = {} }: ServerOptions = {},
): Promise<PostgresServer> {
  if (bin === undefined) throw new Error('There is no server to start.');
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-postgres-'));
  if (account.uid !== undefined) await chown(folder, account.uid, account.gid);
  const data = join(folder, 'data');
  await run(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N'],
    {
      ...account,
      cwd: folder,
    },
  );
  await writeFiles(
    data,
    access === undefined ? files : { ...files, 'pg_hba.conf': `${access.join('\n')}\n` },
  );
  const flags = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const server = spawn(join(bin, 'postgres'), ['-D', data, '-k', folder, ...flags], {
    ...account,
    cwd: folder,
    stdio: 'ignore',
  });
  const address = (database: string, role = 'postgres') =>
    `postgres://${role}@localhost:${settings.port ?? 5432}/${database}?host=${encodeURIComponent(folder)}`;
  await waitUntilReady(server, address('postgres'));
  let made = 0;
  return {
    createDatabase: async () => {
      made += 1;
      const name = `test_${made}`;
      await runAs(address('postgres'), `create database ${name}`);
      return (role) => address(name, role);
    },
    folder,
    signal: (signal) => void server.kill(signal),
    stop: async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGQUIT');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

/** Readable by the server alone, as it demands of its key. */
async function writeFiles(data: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(data, name);
    await writeFile(path, content, { mode: 0o600 });
    if (account.uid !== undefined) await chown(path, account.uid, account.gid);
  }
}

/** Runs statements on a connection of their own, past everything that Bulkhead does to its connections. */
export async function runAs<T extends object>(url: string, statements: string): Promise<readonly T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(statements)).rows;
  } finally {
    await client.end();
  }
}

async function waitUntilReady(server: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    if (server.exitCode !== null) throw new Error(`postgres ended with ${server.exitCode}`);
    try {
      await runAs(url, 'select 1');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** How a test opens a server, as an `all` process in development unless it says otherwise. */
export function at(url: string, changes: Partial<PostgresOptions> = {}): PostgresOptions {
  return {
    url,
    role: 'all',
    production: false,
    withVectorIndex: true,
    poolSize: 2,
    statementTimeoutMs: 30_000,
    lockTimeoutMs: 5_000,
    now: Date.now,
    ...changes,
  };
}

/**
 * Waits for so many sessions of the database of which this holds.
 * @throws Error when it is not so after ten seconds
 */
export async function untilSessions(url: string, condition: string, sessions = 1): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await runAs(
      url,
      `select 1 from pg_stat_activity where datname = current_database() and ${condition}`,
    );
    if (sessions === 0 ? found.length === 0 : found.length >= sessions) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never ${sessions} × ${condition}`);
}
