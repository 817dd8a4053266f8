/** Data folders made through the real pipeline, kept under .cache and made again when anything they rest on changes. */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Core, openCore } from '../../src/assembly/core.ts';
import { openStore } from '../../src/assembly/open-store.ts';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { CACHE, PROJECT } from './folders.ts';

/** What decides what a folder holds; edits elsewhere must not cost a new one. */
const SOURCES = [
  'migrations',
  'models',
  'src/index/terms.ts',
  'src/index/stem.ts',
  'src/index/stop-words.ts',
  'src/ingest/3-inspect.ts',
  'src/ingest/5-split.ts',
  'src/ingest/parsers',
  'src/ingest/splitting',
  'bench/lib/dealing.ts',
];

export interface OpenFolder {
  readonly core: Core;
  readonly config: Config;
  close(): Promise<void>;
}

/** Opens a data folder as the program does, without the demo company. */
export async function openFolder(folder: string): Promise<OpenFolder> {
  const config = loadConfig({ BULKHEAD_DATA: folder, BULKHEAD_DEMO: 'false', LOG_LEVEL: 'warn' });
  const store = await openStore(config);
  const core = await openCore(config, store.database, createLog({ level: config.logLevel }));
  return {
    core,
    config,
    close: async () => {
      await core.close();
      await store.close();
    },
  };
}

/**
 * A folder as `build` leaves it: the one from an earlier run when it rests on the same sources, else a new one.
 * @param inputs what else decides its content
 */
export async function keptFolder(
  name: string,
  inputs: readonly string[],
  build: (opened: OpenFolder) => Promise<void>,
): Promise<string> {
  const folder = join(CACHE, `bench-${name}-${fingerprint(inputs)}`);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  const opened = await openFolder(draft);
  try {
    await build(opened);
    await opened.core.database.maintain();
  } finally {
    await opened.close();
  }
  for (const old of readdirSync(CACHE).filter((entry) => entry.startsWith(`bench-${name}-`)))
    if (join(CACHE, old) !== draft) rmSync(join(CACHE, old), { recursive: true });
  renameSync(draft, folder);
  return folder;
}

/** A copy to work in, so that every run begins alike. */
export function copyOf(folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function fingerprint(inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of SOURCES.flatMap((source) => filesOf(join(PROJECT, source))))
    hash.update(file).update(readFileSync(file));
  for (const input of inputs) hash.update(input);
  return hash.digest('hex').slice(0, 12);
}

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return names.map((entry) => join(entry.parentPath, entry.name)).sort();
}
