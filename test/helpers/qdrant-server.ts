import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** A Qdrant server for tests: one that is given, or a throw-away one with a folder and keys of its own. */
export interface QdrantServer {
  readonly url: string;
  /** May write; a server that is given may have none. */
  readonly key: string | undefined;
  /** May only read; known of throw-away servers alone. */
  readonly readKey: string | undefined;
  close(): Promise<void>;
}

export const HOW_TO_GET_QDRANT = 'no Qdrant (set QDRANT_URL or put a qdrant binary on the PATH)';

/** Whether `openQdrantServer` would find one. With `BULKHEAD_REQUIRE_QDRANT=true`, having none is a failure. */
export function hasQdrant(): boolean {
  const found = process.env.QDRANT_URL !== undefined || findQdrant() !== undefined;
  if (!found && process.env.BULKHEAD_REQUIRE_QDRANT === 'true')
    throw new Error(`A Qdrant server is required: ${HOW_TO_GET_QDRANT}.`);
  return found;
}

/** `undefined` where there is neither a server nor a binary. */
export async function openQdrantServer(): Promise<QdrantServer | undefined> {
  if (!hasQdrant()) return undefined;
  const { QDRANT_URL: url, QDRANT_API_KEY: key } = process.env;
  if (url !== undefined) return { url, key, readKey: undefined, close: async () => undefined };
  const binary = findQdrant();
  return binary === undefined ? undefined : startQdrant(binary);
}

/** @param settings environment variables over the defaults, as in `QDRANT__SERVICE__ENABLE_TLS` */
export async function startQdrant(
  binary = findQdrant(),
  settings: Readonly<Record<string, string>> = {},
): Promise<QdrantServer> {
  if (binary === undefined) throw new Error(HOW_TO_GET_QDRANT);
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-qdrant-'));
  const [port, grpcPort] = [await freePort(), await freePort()];
  const server = spawn(binary, ['--disable-telemetry'], {
    cwd: folder,
    stdio: 'ignore',
    env: { ...settingsOf(folder, port, grpcPort), ...settings },
  });
  const scheme = settings.QDRANT__SERVICE__ENABLE_TLS === 'true' ? 'https' : 'http';
  const url = `${scheme}://127.0.0.1:${port}`;
  await waitUntilReady(server, port);
  return {
    url,
    key: WRITE_KEY,
    readKey: READ_KEY,
    close: async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      if (server.exitCode === null && server.kill('SIGKILL')) await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const WRITE_KEY = 'a key for writing, of a test';
const READ_KEY = 'a key for reading, of a test';

/** Of a server that is given, a test leaves nothing behind. */
export async function removeCollections({ url, key }: QdrantServer, prefix: string): Promise<void> {
  const headers: Record<string, string> = key === undefined ? {} : { 'api-key': key };
  const answer = await fetch(`${url}/collections`, { headers });
  const { result } = (await answer.json()) as { result: { collections: { name: string }[] } };
  for (const { name } of result.collections)
    if (name.startsWith(`${prefix}-`))
      await fetch(`${url}/collections/${name}`, { method: 'DELETE', headers });
}

function settingsOf(folder: string, port: number, grpcPort: number): Record<string, string> {
  return {
    QDRANT__SERVICE__HOST: '127.0.0.1',
    QDRANT__SERVICE__HTTP_PORT: String(port),
    QDRANT__SERVICE__GRPC_PORT: String(grpcPort),
    QDRANT__SERVICE__API_KEY: WRITE_KEY,
    QDRANT__SERVICE__READ_ONLY_API_KEY: READ_KEY,
    QDRANT__STORAGE__STORAGE_PATH: join(folder, 'storage'),
    QDRANT__STORAGE__SNAPSHOTS_PATH: join(folder, 'snapshots'),
    // each collection reserves a log of this size, and tests make many
    QDRANT__STORAGE__WAL__WAL_CAPACITY_MB: '1',
    QDRANT__LOG_LEVEL: 'ERROR',
  };
}

export function findQdrant(): string | undefined {
  if (process.env.QDRANT_BINARY !== undefined) return process.env.QDRANT_BINARY;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, 'qdrant')).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function waitUntilReady(server: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await accepts(port))) {
    if (server.exitCode !== null) throw new Error(`qdrant ended with ${server.exitCode}`);
    if (Date.now() > deadline) throw new Error('qdrant did not start within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
