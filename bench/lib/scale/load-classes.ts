/** A data set's ad-hoc classes by COPY, as `intern_class` would have left them: there are too many for calls. */
import type pg from 'pg';
import { userOf } from '../dealing.ts';
import { copyIn } from './copy-in.ts';
import { groupOf, type Layout, personName, sharedWith } from './layout.ts';
import type { DataSpec } from './spec.ts';

/** What the documents and the index need to know of the policy. */
export interface LoadedPolicy {
  readonly tenant: number;
  /** By position of the class: its id, and its container's. */
  readonly classIds: Int32Array;
  readonly containerIds: Int32Array;
}

/** As the migrations hand ids out. */
const BLOCK = 64;

/** @param client as superuser, after `makeTenant` */
export async function loadClasses(client: pg.Client, spec: DataSpec, layout: Layout): Promise<LoadedPolicy> {
  const tenant = await one(client, 'select id from bulkhead.tenant');
  const containers = await containersOf(client, layout);
  const containerIds = new Int32Array(spec.classes);
  for (const [i, { from, to }] of layout.containers.entries())
    containerIds.fill(containers[i] ?? 0, from, to);
  await client.query('set session_replication_role = replica');
  const classIds = await takeClassIds(client, tenant, layout, containers);
  const policy = { tenant, classIds, containerIds };
  await copyClasses(client, spec, policy);
  await copyEntries(client, layout, policy);
  await client.query(INTERN_KEYS);
  await client.query('set session_replication_role = origin');
  return policy;
}

/** What `loadClasses` returned, from a database that it filled earlier. */
export async function readPolicy(client: pg.Client, spec: DataSpec, layout: Layout): Promise<LoadedPolicy> {
  const tenant = await one(client, 'select id from bulkhead.tenant');
  const containers = await containersOf(client, layout);
  const containerIds = new Int32Array(spec.classes);
  const classIds = new Int32Array(spec.classes);
  for (const [i, { from, to }] of layout.containers.entries()) {
    const { rows } = await client.query<{ id: number }>(
      `select id from bulkhead.access_class where parent_id = ${containers[i]} and kind = 'adhoc' order by id`,
    );
    if (rows.length !== to - from) throw new Error('the data set has other classes than it should');
    for (const [k, { id }] of rows.entries()) classIds[from + k] = id;
    containerIds.fill(containers[i] ?? 0, from, to);
  }
  return { tenant, classIds, containerIds };
}

async function containersOf(client: pg.Client, { containers }: Layout): Promise<readonly number[]> {
  const { rows } = await client.query<{ id: number; path: string }>(
    `select id, path from bulkhead.access_class where kind = 'container'`,
  );
  const ids = new Map(rows.map(({ id, path }) => [path, id]));
  return containers.map(({ path }) => ids.get(path) ?? 0);
}

/** Blocks of 64, one container's after the other's; the end of a container's last block stays free. */
async function takeClassIds(
  client: pg.Client,
  tenant: number,
  { containers }: Layout,
  containerIds: readonly number[],
): Promise<Int32Array> {
  const ids = new Int32Array(containers.at(-1)?.to ?? 0);
  const blocks: (readonly number[])[] = [];
  let next = await one(client, `select nextval('bulkhead.class_block_seq') as id`);
  for (const [i, { from, to }] of containers.entries()) {
    for (let position = from; position < to; position += 1) ids[position] = next + position - from;
    const end = next + Math.ceil((to - from) / BLOCK) * BLOCK;
    blocks.push([containerIds[i] ?? 0, tenant, next + to - from, end]);
    next = end;
  }
  await client.query(`select setval('bulkhead.class_block_seq', ${next - BLOCK})`);
  await copyIn(client, 'bulkhead.class_block (container_id, tenant_id, next_id, end_id)', blocks);
  return ids;
}

async function copyClasses(
  client: pg.Client,
  { classes }: DataSpec,
  { tenant, classIds, containerIds }: LoadedPolicy,
): Promise<void> {
  const root = await one(client, `select id from bulkhead.access_class where path = '/'`);
  const watermark = await one(client, 'select watermark as id from bulkhead.policy_epoch');
  const positions = Array.from({ length: classes }, (_, i) => i);
  await copyIn(
    client,
    'bulkhead.access_class (id, tenant_id, parent_id, kind, intern_key, seq)',
    positions.map((i) => [
      classIds[i] ?? 0,
      tenant,
      containerIds[i] ?? 0,
      'adhoc',
      `${i}`,
      watermark + 1 + i,
    ]),
  );
  await copyIn(
    client,
    'bulkhead.class_ancestor (class_id, ancestor_id, tenant_id, allows_pass)',
    positions.flatMap((i) =>
      [classIds[i] ?? 0, containerIds[i] ?? 0, root].map((above) => [classIds[i] ?? 0, above, tenant, true]),
    ),
  );
  await client.query(`update bulkhead.policy_epoch set watermark = ${watermark + classes}`);
}

/** Each class is shared with two people and with the readers whose share of scattered classes it belongs to. */
async function copyEntries(
  client: pg.Client,
  layout: Layout,
  { tenant, classIds }: LoadedPolicy,
): Promise<void> {
  const { rows } = await client.query<{ id: number; key: string }>('select id, key from bulkhead.principal');
  const principals = new Map(rows.map(({ id, key }) => [key, id]));
  const entriesOf = (container: Layout['containers'][number], position: number) => {
    const readers = layout.scattered.filter(({ mask }) => mask[position] === 1);
    const people = sharedWith(position, container).map((person) => userOf(personName(person)));
    return [...people, ...readers.map(({ reader }) => groupOf(reader))].map((key) => [
      tenant,
      classIds[position] ?? 0,
      principals.get(key) ?? 0,
      'allow',
    ]);
  };
  function* all() {
    for (const container of layout.containers)
      for (let i = container.from; i < container.to; i += 1) yield* entriesOf(container, i);
  }
  await copyIn(client, 'bulkhead.entry (tenant_id, class_id, principal_id, effect)', all());
}

/** As `intern_class` makes them. */
const INTERN_KEYS = `update bulkhead.access_class c set intern_key = encode(sha256(convert_to(
    jsonb_build_array(c.level, '[]'::jsonb, c.inherits, e.entries)::text, 'UTF8')), 'hex')
  from (select class_id, jsonb_agg(o order by o) as entries from (
      select class_id, jsonb_build_object('principal', principal_id, 'effect', effect, 'from', null, 'until', null) as o
      from bulkhead.entry) t group by class_id) e
  where e.class_id = c.id and c.kind = 'adhoc'`;

/** The single number that a statement returns as `id`. */
export async function one(client: pg.Client, statement: string): Promise<number> {
  const { rows } = await client.query<{ id: number | string }>(statement);
  return Number(rows[0]?.id);
}
