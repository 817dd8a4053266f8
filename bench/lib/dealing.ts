/** Labels, containers and entries dealt out at random, and who may then read what: known without asking Bulkhead. */
import type { DirectoryContent } from '../../src/ingest/provision.ts';
import type { ContainerDefinition } from '../../src/ingest/sources/folder.ts';
import type { Submission } from '../../src/ingest/submission.ts';
import { seeded, shuffled } from './random.ts';

export const ISSUER = 'bench';
const CONTAINERS = 200;
/** Shares of documents by level; `null` leaves a document to its container, which is public. */
const LEVELS = [
  { level: null, rank: 0, share: 0.4 },
  { level: 'internal', rank: 1, share: 0.3 },
  { level: 'confidential', rank: 2, share: 0.2 },
  { level: 'restricted', rank: 3, share: 0.1 },
] as const;
const REGIONS = ['north', 'east', 'south', 'west'];

/**
 * Readers and what they hold. `all` reads through four groups, each with a quarter of the containers; the others
 * through a group with some containers, entries on single documents, and a clearance that leaves levels out.
 */
const READERS = [
  { name: 'all', share: 1, clearance: 3, containers: CONTAINERS, allowed: 0, denied: 0 },
  { name: 'half', share: 0.5, clearance: 2, containers: 115, allowed: 0, denied: 0.03 },
  { name: 'tenth', share: 0.1, clearance: 1, containers: 22, allowed: 0.037, denied: 0 },
  { name: 'hundredth', share: 0.01, clearance: 1, containers: 0, allowed: 0.0143, denied: 0 },
] as const;

export type ReaderName = (typeof READERS)[number]['name'];

export interface Dealing {
  readonly people: DirectoryContent;
  readonly containers: readonly ContainerDefinition[];
  /** By position of the document. */
  readonly placements: readonly Pick<Submission, 'container' | 'access'>[];
  readonly readers: readonly { readonly name: ReaderName; readonly share: number }[];
  /** Whether the reader may read the document at this position. */
  readonly mayRead: (reader: ReaderName, position: number) => boolean;
}

interface Dealt {
  readonly container: number;
  readonly level: (typeof LEVELS)[number];
  readonly allowed: ReadonlySet<ReaderName>;
  readonly denied: ReadonlySet<ReaderName>;
}

/** Deals to so many documents; the same seed deals alike. */
export function deal(documents: number, seed: number): Dealing {
  const random = seeded(seed);
  const order = shuffled(
    Array.from({ length: CONTAINERS }, (_, i) => i),
    random,
  );
  const opened = new Map(
    READERS.map(({ name, containers }) => [name, new Set(order.slice(0, containers))] as const),
  );
  const dealt = Array.from({ length: documents }, () => dealOne(random));
  return {
    people: people(),
    containers: [root(), ...order.map((_, i) => container(i, opened))],
    placements: dealt.map(placement),
    readers: READERS,
    mayRead: (reader, position) => {
      const held = READERS.find(({ name }) => name === reader);
      const document = dealt[position];
      if (held === undefined || document === undefined) return false;
      const isAllowed =
        (opened.get(reader)?.has(document.container) ?? false) || document.allowed.has(reader);
      return isAllowed && !document.denied.has(reader) && document.level.rank <= held.clearance;
    },
  };
}

function dealOne(random: () => number): Dealt {
  const container = Math.floor(random() * CONTAINERS);
  const draw = random();
  let below = 0;
  const level = LEVELS.find(({ share }) => {
    below += share;
    return draw < below;
  });
  const drawn = (kind: 'allowed' | 'denied') =>
    new Set(READERS.filter((reader) => random() < reader[kind]).map(({ name }) => name));
  return { container, level: level ?? LEVELS[0], allowed: drawn('allowed'), denied: drawn('denied') };
}

function placement({ container, level, allowed, denied }: Dealt): Dealing['placements'][number] {
  return {
    container: pathOf(container),
    access: {
      ...(level.level !== null && { level: level.level }),
      compartments: [],
      entries: [
        ...[...allowed].map((name) => ({ principal: groupOf(name), effect: 'allow' as const })),
        ...[...denied].map((name) => ({ principal: groupOf(name), effect: 'deny' as const })),
      ],
    },
  };
}

function root(): ContainerDefinition {
  return { path: '/', access: { level: 'public', compartments: [], entries: [] } };
}

function container(
  position: number,
  opened: ReadonlyMap<ReaderName, ReadonlySet<number>>,
): ContainerDefinition {
  const region = REGIONS[position % REGIONS.length] ?? '';
  const groups = READERS.filter(({ name }) => name !== 'all' && opened.get(name)?.has(position));
  const principals = [groupOf(region), ...groups.map(({ name }) => groupOf(name))];
  const entries = principals.map((principal) => ({ principal, effect: 'allow' as const }));
  return { path: pathOf(position), access: { compartments: [], entries } };
}

function people(): DirectoryContent {
  const levels = LEVELS.map(({ level }) => level ?? 'public');
  const member = (name: string) => ({ principal: userOf(name) });
  return {
    users: READERS.map(({ name }) => ({
      account: name,
      issuer: ISSUER,
      name,
      email: `${name}@example.com`,
      status: 'active',
    })),
    groups: [
      ...REGIONS.map((name) => ({ id: groupOf(name), name, members: [member('all')] })),
      ...READERS.map(({ name }) => ({ id: groupOf(name), name, members: [member(name)] })),
    ],
    services: [],
    clearances: READERS.map(({ name, clearance }) => ({
      principal: userOf(name),
      level: levels[clearance] ?? 'public',
      compartments: [],
    })),
    roles: [],
  };
}

const pathOf = (position: number): string => `/c${String(position).padStart(3, '0')}`;
const groupOf = (name: string): string => `group:${ISSUER}|${name}`;
export const userOf = (name: string): string => `user:${ISSUER}|${name}`;
