/** Containers that an ingest needs, made over the API where they are missing. */
import type { AccessFields } from '../ingest/parsers/access-fields.ts';
import type { ContainerDefinition } from '../ingest/sources/folder.ts';
import { containerAddress } from './api-command.ts';
import type { ContainerBody } from './api-types.ts';
import type { ApiClient } from './client.ts';
import type { Failure } from './ingest-report.ts';
import { lineOf, RefusedError } from './problem.ts';
import { accessBody } from './upload.ts';

interface Ensured {
  readonly created: readonly string[];
  /** There already, and not as defined. */
  readonly differing: readonly string[];
  readonly failed: readonly Failure[];
}

/**
 * Makes what is missing. What is there is left as it is: changing it is `grant`'s and `label`'s.
 * @param definitions parents before children
 */
export async function ensureContainers(
  client: ApiClient,
  definitions: readonly ContainerDefinition[],
): Promise<Ensured> {
  const known = await knownContainers(client);
  const ensured = { created: [] as string[], differing: [] as string[], failed: [] as Failure[] };
  for (const definition of definitions) {
    const { path } = definition;
    if (known.has(path)) {
      if (await isOtherwise(client, definition)) ensured.differing.push(path);
      continue;
    }
    const refusal = await create(client, definition);
    if (refusal === undefined) ensured.created.push(path);
    // somebody else's, which documents may still go to
    else if (refusal.code !== 'conflict') ensured.failed.push({ name: path, error: lineOf(refusal) });
    known.add(path);
  }
  return ensured;
}

/** Those that `ensureContainers` would try to make. */
export async function missingContainers(
  client: ApiClient,
  definitions: readonly ContainerDefinition[],
): Promise<readonly string[]> {
  const known = await knownContainers(client);
  return [...new Set(definitions.map(({ path }) => path))].filter((path) => !known.has(path));
}

interface ContainerPage {
  readonly containers: readonly { readonly path: string }[];
  readonly next_cursor: string | null;
}

/** Where the caller may read or holds a right. The root always is. */
async function knownContainers(client: ApiClient): Promise<Set<string>> {
  const known = new Set(['/']);
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: ContainerPage = await client.call('GET', '/v1/containers', { query: { limit: 200, cursor } });
    for (const { path } of page.containers) known.add(path);
    cursor = page.next_cursor;
  }
  return known;
}

async function create(
  client: ApiClient,
  { path, access }: ContainerDefinition,
): Promise<RefusedError | undefined> {
  try {
    await client.call('POST', '/v1/containers', { body: { path, ...(access && accessBody(access)) } });
    return undefined;
  } catch (error) {
    if (error instanceof RefusedError) return error;
    throw error;
  }
}

/** Whether its `.acl.yaml` says something else; who may not see what it says is not told. */
async function isOtherwise(client: ApiClient, { path, access }: ContainerDefinition): Promise<boolean> {
  if (access === undefined) return false;
  try {
    const there = await client.call<ContainerBody>('GET', containerAddress(path));
    return comparable(there.label, there.inherits, there.entries) !== comparableDefinition(access);
  } catch (error) {
    if (error instanceof RefusedError) return false;
    throw error;
  }
}

function comparableDefinition({ level, compartments, inherits, entries }: AccessFields): string {
  const label = { level: level ?? null, compartments };
  const listed = entries.map(({ validFrom: from, validUntil: until, ...entry }) => ({
    ...entry,
    from,
    until,
  }));
  return comparable(label, inherits ?? true, listed);
}

interface ComparableEntry {
  readonly principal: string;
  readonly effect: string;
  readonly from?: string | number | undefined;
  readonly until?: string | number | undefined;
}

function comparable(
  { level, compartments }: { readonly level: string | null; readonly compartments: readonly string[] },
  inherits: boolean,
  entries: readonly ComparableEntry[],
): string {
  const instant = (bound: string | number | undefined) =>
    bound === undefined ? null : new Date(bound).getTime();
  const lines = entries.map(({ principal, effect, from, until }) =>
    JSON.stringify([principal, effect, instant(from), instant(until)]),
  );
  return JSON.stringify([level, [...compartments].sort(), inherits, [...new Set(lines)].sort()]);
}
