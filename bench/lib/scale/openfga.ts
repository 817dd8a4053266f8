/** A real OpenFGA server with the data set's permissions, where there is one. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OpenFgaClient } from '@openfga/sdk';
import type pg from 'pg';
import type { CheckMany } from '../../baselines/post-filter.ts';
import { progress } from '../progress.ts';
import { freePort } from '../server-process.ts';
import { freshCallers, type Layout } from './layout.ts';
import type { LoadedPolicy } from './load-classes.ts';
import { dataSetFolder, onPath } from './stores.ts';

export interface OpenFga {
  readonly url: string;
  readonly store: string;
  readonly version: string;
  stop(): Promise<void>;
}

export function openFgaBinary(): string | undefined {
  const named = process.env.OPENFGA_BINARY;
  if (named !== undefined) return existsSync(named) ? named : undefined;
  return onPath('openfga');
}

/** Which classes a caller may view, in batches as the SDK makes them. */
export function checkWith({ url, store }: Pick<OpenFga, 'url' | 'store'>): CheckMany {
  const client = new OpenFgaClient({ apiUrl: url, storeId: store });
  return async (caller, classes) => {
    if (classes.length === 0) return new Set();
    const { result } = await client.batchCheck({
      checks: classes.map((cls) => ({
        user: `user:${caller}`,
        relation: 'viewer',
        object: `class:${cls}`,
        correlationId: String(cls),
      })),
    });
    return new Set(result.flatMap(({ allowed, correlationId }) => (allowed ? [Number(correlationId)] : [])));
  };
}

/** Its tuples are kept in a database of its own, on the same server. */
export async function startOpenFga(
  binary: string,
  key: string,
  databaseUrl: string,
  client: pg.Client,
  layout: Layout,
  policy: LoadedPolicy,
): Promise<OpenFga> {
  const url = new URL(databaseUrl);
  url.pathname += '_fga';
  const name = url.pathname.slice(1);
  const { rows } = await client.query('select 1 from pg_database where datname = $1', [name]);
  if (rows.length === 0) await client.query(`create database ${name}`);
  url.searchParams.set('sslmode', 'disable');
  const store = ['--datastore-engine', 'postgres', '--datastore-uri', url.href];
  execFileSync(binary, ['migrate', ...store], { stdio: 'ignore' });
  const [http, grpc] = [await freePort(), await freePort()];
  const options = [
    '--http-addr',
    `127.0.0.1:${http}`,
    '--grpc-addr',
    `127.0.0.1:${grpc}`,
    '--playground-enabled=false',
    '--metrics-enabled=false',
    '--log-level=error',
  ];
  const child = spawn(binary, ['run', ...store, ...options], { stdio: 'ignore' });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const address = `http://127.0.0.1:${http}`;
  await untilHealthy(address);
  return {
    url: address,
    store: await seededStore(key, address, layout, policy),
    version: versionOf(binary),
    stop: async () => {
      process.off('exit', kill);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Of the module that Go built it from, as every Go program says of itself; `go install` leaves its own answer empty. */
function versionOf(binary: string): string {
  const built = /mod\tgithub\.com\/openfga\/openfga\t(\S+)/.exec(readFileSync(binary, 'latin1'))?.[1];
  return built ?? 'of unknown version';
}

async function untilHealthy(url: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; ; await sleep(200)) {
    const healthy = await fetch(`${url}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (healthy) return;
    if (Date.now() > deadline) throw new Error('OpenFGA did not become healthy');
  }
}

/** The store of an earlier run on the same data, or a new one. */
async function seededStore(key: string, url: string, layout: Layout, policy: LoadedPolicy): Promise<string> {
  const file = join(dataSetFolder(key), 'openfga-store');
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const { id } = await new OpenFgaClient({ apiUrl: url }).createStore({ name: 'bench' });
  const client = new OpenFgaClient({ apiUrl: url, storeId: id });
  await client.writeAuthorizationModel(MODEL);
  const tuples = [...tuplesOf(layout, policy)];
  const said = progress('Writing relationships to OpenFGA', tuples.length);
  let next = 0;
  let written = 0;
  const writer = async () => {
    while (next < tuples.length) {
      const some = tuples.slice(next, next + TUPLES_AT_ONCE);
      next += some.length;
      await client.write({ writes: some });
      written += some.length;
      said(written);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  writeFileSync(file, id);
  return id;
}

/** As many as OpenFGA takes in one request. */
const TUPLES_AT_ONCE = 100;
const WRITERS = 4;

const groupMember = { type: 'group', relation: 'member' };
const inherited = {
  union: {
    child: [
      { this: {} },
      { tupleToUserset: { tupleset: { relation: 'parent' }, computedUserset: { relation: 'viewer' } } },
    ],
  },
};
const below = (parent: string) => ({
  relations: { parent: { this: {} }, viewer: inherited },
  metadata: {
    relations: {
      parent: { directly_related_user_types: [{ type: parent }] },
      viewer: { directly_related_user_types: [groupMember] },
    },
  },
});

/** Groups may view a class, the container it is in, or the container above that. */
const MODEL = {
  schema_version: '1.1',
  type_definitions: [
    { type: 'user' },
    {
      type: 'group',
      relations: { member: { this: {} } },
      metadata: { relations: { member: { directly_related_user_types: [{ type: 'user' }] } } },
    },
    { type: 'container', ...below('container') },
    { type: 'class', ...below('container') },
  ],
};

/** Without the people whom single documents are shared with: nobody asks for them, and the rival is spared them. */
function* tuplesOf(layout: Layout, { classIds }: LoadedPolicy) {
  const viewer = (reader: string, object: string) => ({
    user: `group:${reader}#member`,
    relation: 'viewer',
    object,
  });
  for (const { name } of layout.readers)
    for (const caller of [name, ...freshCallers(name)])
      yield { user: `user:${caller}`, relation: 'member', object: `group:${name}` };
  yield viewer('all', 'container:root');
  for (const { path, readers, from, to } of layout.containers) {
    const container = `container:${path.slice(1)}`;
    yield { user: 'container:root', relation: 'parent', object: container };
    for (const reader of readers) yield viewer(reader, container);
    for (let i = from; i < to; i += 1)
      yield { user: container, relation: 'parent', object: `class:${classIds[i]}` };
  }
  for (const { reader, mask } of layout.scattered)
    for (const [i, isIn] of mask.entries()) if (isIn === 1) yield viewer(reader, `class:${classIds[i]}`);
}
