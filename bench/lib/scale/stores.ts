/** PostgreSQL and Qdrant for the production benches: those that the environment names, or their own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../server-process.ts';

export interface StoresOptions {
  /** Empties what the environment names: the data set's database, and every collection. */
  readonly fresh: boolean;
  /** Servers of its own, whatever the environment names: for several data sets at a time. */
  readonly own?: boolean;
}

export interface Stores {
  /** As superuser; the database of the data set. */
  readonly databaseUrl: string;
  readonly qdrantUrl: string;
  readonly qdrantKey: string | undefined;
  readonly versions: { readonly postgres: string; readonly qdrant: string };
  /** Resident memory of Qdrant in MiB, where the bench started it. */
  qdrantMemory(): number | undefined;
  stop(): Promise<void>;
}

/**
 * What is missing to run, one line each; empty when nothing is.
 * @param own servers that the environment names do not count
 */
export function missingStores({ own }: { readonly own: boolean }): readonly string[] {
  const named = own ? {} : process.env;
  const missing: string[] = [];
  if (named.DATABASE_URL === undefined && postgresPrograms() === undefined)
    missing.push(
      'PostgreSQL: set DATABASE_URL (a superuser of a throw-away server), or install one (apt-get install postgresql-15 postgresql-15-pgvector).',
    );
  if (named.QDRANT_URL === undefined && qdrantBinary() === undefined)
    missing.push(
      'Qdrant: set QDRANT_URL (and QDRANT_API_KEY) of a throw-away server, or QDRANT_BINARY, or put qdrant on the PATH.',
    );
  return missing;
}

const DATA_SETS = join(tmpdir(), 'bulkhead-bench');

/** Where a data set is kept between runs. */
export function dataSetFolder(key: string): string {
  return join(DATA_SETS, key);
}

/** Starts what the environment does not name, on the data set's folder. */
export async function openStores(key: string, { fresh, own = false }: StoresOptions): Promise<Stores> {
  const named = own ? {} : process.env;
  const folder = dataSetFolder(key);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const postgres = await openPostgresServer(folder, named.DATABASE_URL);
  try {
    const qdrant = await openQdrantServer(folder, named.QDRANT_URL);
    const qdrantKey = named.QDRANT_URL === undefined ? undefined : named.QDRANT_API_KEY;
    if (fresh && named.QDRANT_URL !== undefined) await dropCollections(qdrant.url, qdrantKey);
    return {
      databaseUrl: await databaseOf(postgres.url, `bench_${key.replaceAll('-', '_')}`, fresh),
      qdrantUrl: qdrant.url,
      qdrantKey,
      versions: {
        postgres: await postgresVersion(postgres.url),
        qdrant: await qdrantVersion(qdrant.url, qdrantKey),
      },
      qdrantMemory: () => residentOf(qdrant.process),
      stop: async () => {
        await Promise.all([postgres.stop(), qdrant.stop()]);
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

interface Server {
  readonly url: string;
  readonly process: ChildProcess | undefined;
  stop(): Promise<void>;
}

const asIs = (url: string): Server => ({ url, process: undefined, stop: async () => {} });

/** Durable like a server in production; memory as a machine of this size would give it. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  max_connections: '200',
  shared_buffers: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  unix_socket_directories: '',
};
/** What `postgres` refuses to be: root. */
const NOBODY = 65534;

async function openPostgresServer(folder: string, named: string | undefined): Promise<Server> {
  if (named !== undefined) return asIs(named);
  const bin = postgresPrograms() ?? '';
  const data = join(folder, 'postgres');
  const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (!existsSync(join(data, 'PG_VERSION'))) {
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (account.uid !== undefined) chownSync(data, account.uid, account.gid);
    const options = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale'];
    execFileSync(join(bin, 'initdb'), options, { ...account, cwd: data, stdio: 'ignore' });
  }
  const port = await freePort();
  const settings = Object.entries({ ...SETTINGS, port }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...settings], {
    ...account,
    cwd: data,
    stdio: 'ignore',
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await until('PostgreSQL', child, () => ask(url, 'select 1'));
  return { url, process: child, stop: () => end(child, 'SIGINT') };
}

async function openQdrantServer(folder: string, named: string | undefined): Promise<Server> {
  if (named !== undefined) return asIs(named);
  const data = join(folder, 'qdrant');
  mkdirSync(data, { recursive: true });
  const [port, grpcPort] = [await freePort(), await freePort()];
  const child = spawn(qdrantBinary() ?? '', ['--disable-telemetry'], {
    cwd: data,
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      QDRANT__SERVICE__HOST: '127.0.0.1',
      QDRANT__SERVICE__HTTP_PORT: String(port),
      QDRANT__SERVICE__GRPC_PORT: String(grpcPort),
      QDRANT__STORAGE__STORAGE_PATH: join(data, 'storage'),
      QDRANT__STORAGE__SNAPSHOTS_PATH: join(data, 'snapshots'),
      QDRANT__TELEMETRY_DISABLED: 'true',
      QDRANT__LOG_LEVEL: 'WARN',
    },
  });
  const url = `http://127.0.0.1:${port}`;
  await until('Qdrant', child, async () => {
    if (!(await fetch(`${url}/readyz`)).ok) throw new Error('not ready');
  });
  return { url, process: child, stop: () => end(child, 'SIGTERM') };
}

const LONGEST_START_MS = 180_000;

async function until(name: string, child: ChildProcess, attempt: () => Promise<unknown>): Promise<void> {
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const deadline = Date.now() + LONGEST_START_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    try {
      await attempt();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

async function ask(url: string, statement: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

async function dropCollections(url: string, key: string | undefined): Promise<void> {
  const headers = key === undefined ? {} : { 'api-key': key };
  const answer = await (await fetch(`${url}/collections`, { headers })).json();
  const { result } = answer as { result: { collections: readonly { name: string }[] } };
  for (const { name } of result.collections)
    await fetch(`${url}/collections/${name}`, { method: 'DELETE', headers });
}

/** The database of this name on the server, made where it is missing. */
async function databaseOf(server: string, name: string, fresh: boolean): Promise<string> {
  if (fresh) await ask(server, `drop database if exists ${name} with (force)`);
  const found = await ask(server, `select 1 from pg_database where datname = '${name}'`);
  if (found.length === 0) await ask(server, `create database ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function postgresVersion(url: string): Promise<string> {
  return String((await ask(url, 'show server_version'))[0]?.server_version).split(' ')[0] ?? '';
}

async function qdrantVersion(url: string, key: string | undefined): Promise<string> {
  const headers = key === undefined ? {} : { 'api-key': key };
  const answer = (await (await fetch(url, { headers })).json()) as { version?: string };
  return answer.version ?? 'unknown';
}

/** The newest server of this machine that has pgvector. */
function postgresPrograms(): string | undefined {
  const home = '/usr/lib/postgresql';
  if (!existsSync(home)) return undefined;
  const versions = readdirSync(home).filter((version) => Number(version) >= 15);
  return versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(home, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')));
}

function qdrantBinary(): string | undefined {
  return process.env.QDRANT_BINARY ?? onPath('qdrant');
}

export function onPath(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file));
}

function residentOf(child: ChildProcess | undefined): number | undefined {
  if (child?.pid === undefined) return undefined;
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}
