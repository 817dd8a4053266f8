import { type Command, InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import type { keyListView, shownKeyView } from '../http/api-key-views.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { ApiClient } from './client.ts';
import { commaList, table } from './layout.ts';
import type { Terminal } from './terminal.ts';

type Key = z.infer<typeof keyListView>['keys'][number];
type Shown = z.infer<typeof shownKeyView>;

interface CreateOptions extends ApiOptions {
  readonly name?: string;
  readonly rights: string;
  readonly containers?: string;
  readonly level?: string;
  readonly compartments?: string;
  readonly days?: number;
}

interface RotateOptions extends ApiOptions {
  readonly days?: number;
  readonly overlap?: number;
}

interface ListOptions extends ApiOptions {
  readonly service?: string;
}

/** Days before its end from which on a key is worth a warning. */
const WARNED_DAYS = 14;
const DAY_MS = 86_400_000;

/** `bulkhead key`: how services without an identity provider call. */
export function keyCommand(program: Command, terminal: Terminal): void {
  const group = program.command('key').description('API keys of services; needs administer at the root');
  createCommand(group, terminal);
  listCommand(group, terminal);
  rotateCommand(group, terminal);
  revokeCommand(group, terminal);
}

function createCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('create')
    .description('make a key for a service, and show it this once')
    .argument('<service>', 'service:<issuer>|<client>, of the directory')
    .option('--name <text>', 'what it is for; the service by default')
    .option('--rights <list>', 'of read, ingest, label, grant, audit, administer', 'read')
    .option('--containers <paths>', 'and nothing outside of them')
    .option('--level <name>', 'and nothing above it')
    .option('--compartments <list>', 'and nothing in others')
    .option('--days <n>', 'until it expires; 90 by default, 366 at most', toWhole)
    .option('--json', "the API's answer as it is");
  withApiOptions(
    command,
    "bulkhead key create 'service:workforce|reports' --containers /open --as stefan.wolf",
  );
  command.addHelpText(
    'after',
    '\nThe key may read and do no more than you may. Put it into BULKHEAD_TOKEN, or send it as a bearer token.',
  );
  command.action(
    (service: string, { name, rights, containers, level, compartments, days, ...options }: CreateOptions) =>
      withClient(options, terminal, async (client) => {
        const body = {
          service,
          name: name ?? service,
          rights: commaList(rights),
          ...(containers !== undefined && { containers: commaList(containers) }),
          ...(level !== undefined && { level }),
          ...(compartments !== undefined && { compartments: commaList(compartments) }),
          ...(days !== undefined && { days }),
        };
        tellNew(await client.call<Shown>('POST', '/v1/api-keys', { body }), options, terminal);
      }),
  );
}

function listCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('list')
    .description('keys and when they end; their secrets are nowhere')
    .option('--service <principal>', 'of this service only')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead key list --as stefan.wolf');
  command.action(({ service, ...options }: ListOptions) =>
    withClient(options, terminal, async (client) => {
      const keys = await allKeys(client, service);
      show({ keys }, options, terminal, () => tellKeys(keys, Date.now()));
      for (const line of [...orphans(keys, Date.now()), ...warnings(keys, Date.now())]) terminal.say(line);
    }),
  );
}

function rotateCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('rotate')
    .description('make a new key in the place of one, which still works for a while')
    .argument('<id>', 'the part of the key between the underscores')
    .option('--overlap <seconds>', 'for which the old key still works; a day by default, 0 for none', toWhole)
    .option(
      '--days <n>',
      'until the new key expires; as long as the old one was made for, by default',
      toWhole,
    )
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead key rotate k3q7vbn2m4xw5zla --overlap 3600 --as stefan.wolf');
  command.action((id: string, { overlap, days, ...options }: RotateOptions) =>
    withClient(options, terminal, async (client) => {
      const body = {
        ...(overlap !== undefined && { overlap_seconds: overlap }),
        ...(days !== undefined && { days }),
      };
      const shown = await client.call<Shown>('POST', `/v1/api-keys/${encodeURIComponent(id)}/rotate`, {
        body,
      });
      tellNew(shown, options, terminal);
      const rest = overlap === undefined ? 'a day' : `${overlap} seconds`;
      terminal.say(overlap === 0 ? `${id} has ended.` : `${id} still works for ${rest}.`);
    }),
  );
}

function revokeCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('revoke')
    .description('end a key; holds from the next answer on')
    .argument('<id>', 'the part of the key between the underscores');
  withApiOptions(command, 'bulkhead key revoke k3q7vbn2m4xw5zla --as stefan.wolf');
  command.action((id: string, options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      await client.call('DELETE', `/v1/api-keys/${encodeURIComponent(id)}`);
      terminal.result(`${id} has ended.`);
    }),
  );
}

/** The key alone on standard output, for a script to take. */
function tellNew(shown: Shown, options: ApiOptions, terminal: Terminal): void {
  show(shown, options, terminal, ({ key }) => [key]);
  terminal.say(
    `This is key ${shown.id}. It expires on ${shown.expires_at.slice(0, 10)} and is not shown again.`,
  );
}

async function allKeys(client: ApiClient, service: string | undefined): Promise<readonly Key[]> {
  const keys: Key[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: 200, cursor, service };
    const page = await client.call<z.infer<typeof keyListView>>('GET', '/v1/api-keys', { query });
    keys.push(...page.keys);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return keys;
}

function tellKeys(keys: readonly Key[], now: number): readonly string[] {
  if (keys.length === 0) return ['There are no keys.'];
  const rows = keys.map((key) => [
    key.id,
    key.service,
    key.rights.join(','),
    key.limits === null ? 'everywhere' : `${key.limits.containers.join(',')} up to ${key.limits.level}`,
    stateOf(key, now),
    key.last_used_at?.slice(0, 10) ?? 'never',
    key.name,
  ]);
  return table([['ID', 'SERVICE', 'RIGHTS', 'WHERE', 'STATE', 'LAST USED', 'NAME'], ...rows]);
}

function stateOf(key: Key, now: number): string {
  if (key.revoked_at !== null) return `revoked ${key.revoked_at.slice(0, 10)}`;
  if (Date.parse(key.expires_at) <= now) return `expired ${key.expires_at.slice(0, 10)}`;
  return `until ${key.expires_at.slice(0, 10)}`;
}

/** Keys that work though whoever made and saw them has left. */
function orphans(keys: readonly Key[], now: number): readonly string[] {
  return keys
    .filter((key) => !key.created_by_active && key.revoked_at === null && Date.parse(key.expires_at) > now)
    .map(
      ({ id, service, created_by: maker }) =>
        `${id} (${service}) was made by ${maker}, who is no longer active: bulkhead key revoke ${id}`,
    );
}

/** Of keys that end soon, work, and have no successor yet. */
function warnings(keys: readonly Key[], now: number): readonly string[] {
  return keys.flatMap((key) => {
    const left = Date.parse(key.expires_at) - now;
    if (key.revoked_at !== null || key.replaced_by !== null || left <= 0 || left > WARNED_DAYS * DAY_MS)
      return [];
    const days = Math.floor(left / DAY_MS);
    const when = days === 0 ? 'within a day' : `in ${days} ${days === 1 ? 'day' : 'days'}`;
    return [`${key.id} (${key.service}) expires ${when}: bulkhead key rotate ${key.id}`];
  });
}

function toWhole(text: string): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return value;
}
