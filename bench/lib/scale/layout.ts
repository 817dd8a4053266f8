/** Containers, classes and who may read what: known without asking Bulkhead. */
import { ISSUER } from '../dealing.ts';
import { seeded } from '../random.ts';
import { chunksByClass, type DataSpec, SEED } from './spec.ts';

/** Shares of the chunks that a caller sees, in a few ranges or in scattered classes. */
const SHARES = [0.5, 0.2, 0.1, 0.04, 0.01, 0.001, 0.0001] as const;

/** How many containers a contiguous share is dealt over. */
const CONTAINERS_OF_SHARE = [8, 10, 10, 8, 5, 4, 1];
/** What is left over is dealt over so many containers that only the reader of all sees. */
const OTHER_CONTAINERS = 14;
const GROUPS_CONTAINER_SHARE = 0.01;
/** People with whom single documents are shared; each class has its own pair of them. */
const PEOPLE = 2_000;
export const GROUP_COUNTS = [10, 100, 500, 2_000] as const;
const FRESH_CALLERS = 8;
const LEVELS = ['internal', 'confidential', 'public'];

export interface Reader {
  /** `all`, `c20` (contiguous, 20 %), `s20` (scattered), `fixed`, `big`, `groups`. */
  readonly name: string;
  readonly kind: 'all' | 'contiguous' | 'scattered' | 'fixed' | 'groups';
  readonly share: number;
}

export interface LayoutContainer {
  readonly path: string;
  readonly level: string;
  readonly readers: readonly string[];
  /** Positions of its classes: from, up to but not including to. */
  readonly from: number;
  readonly to: number;
}

export interface Layout {
  readonly containers: readonly LayoutContainer[];
  readonly readers: readonly Reader[];
  /** Readers whose group has an entry on the class at this position. */
  readonly scattered: readonly { readonly reader: string; readonly mask: Uint8Array }[];
  /** Whether the reader may read the class at this position. */
  readonly mayRead: (reader: string, position: number) => boolean;
  /** How many chunks the reader may read. */
  readonly visibleChunks: (reader: string) => number;
}

export function layoutOf(spec: DataSpec): Layout {
  const containers = placed(spec, sizes(spec));
  const readers = readersOf(spec);
  const random = seeded(SEED);
  const scattered = readers
    .filter(({ kind }) => kind === 'scattered')
    .map(({ name, share }) => ({ reader: name, mask: scatter(spec.classes, share, random) }));
  const container = new Int32Array(spec.classes);
  for (const [i, { from, to }] of containers.entries()) container.fill(i, from, to);
  const masks = new Map(scattered.map(({ reader, mask }) => [reader, mask]));
  const counts = chunksByClass(spec);
  const mayRead = (reader: string, position: number) =>
    reader === 'all' ||
    masks.get(reader)?.[position] === 1 ||
    (containers[container[position] ?? 0]?.readers.includes(reader) ?? false);
  return {
    containers,
    readers,
    scattered,
    mayRead,
    visibleChunks: (reader) => counts.reduce((sum, n, i) => sum + (mayRead(reader, i) ? n : 0), 0),
  };
}

function readersOf(spec: DataSpec): readonly Reader[] {
  const all = { name: 'all', kind: 'all', share: 1 } as const;
  const fixed = { name: 'fixed', kind: 'fixed', share: spec.fixedChunks / spec.chunks } as const;
  if (spec.layout === 'simple')
    return [all, fixed, { name: 'big', kind: 'contiguous', share: 1 - fixed.share }];
  return [
    all,
    ...SHARES.map((share) => ({ name: `c${share * 100}`, kind: 'contiguous' as const, share })),
    ...SHARES.map((share) => ({ name: `s${share * 100}`, kind: 'scattered' as const, share })),
    fixed,
    { name: 'groups', kind: 'groups', share: GROUPS_CONTAINER_SHARE },
  ];
}

interface Sized {
  readonly name: string;
  readonly readers: readonly string[];
  readonly classes: number;
}

/** Containers in the order in which they are made; sizes are rounded, and the last takes what is left. */
function sizes(spec: DataSpec): readonly Sized[] {
  const { classes } = spec;
  const fixed = {
    name: 'fixed',
    readers: ['fixed'],
    classes: Math.max(1, Math.round((spec.fixedChunks / spec.chunks) * classes)),
  };
  if (spec.layout === 'simple')
    return [fixed, { name: 'big', readers: ['big'], classes: classes - fixed.classes }];
  const groups = {
    name: 'groups',
    readers: ['groups'],
    classes: Math.round(classes * GROUPS_CONTAINER_SHARE),
  };
  const ofShares = SHARES.flatMap((share, i) => {
    const parts = CONTAINERS_OF_SHARE[i] ?? 1;
    const each = Math.max(1, Math.round((share * classes) / parts));
    return Array.from({ length: parts }, (_, part) => ({
      name: `c${share * 100}-${part}`.replace('.', '_'),
      readers: [`c${share * 100}`],
      classes: each,
    }));
  });
  return [...ofShares, fixed, groups];
}

function placed({ classes }: DataSpec, sized: readonly Sized[]): readonly LayoutContainer[] {
  const taken = sized.reduce((sum, one) => sum + one.classes, 0);
  const left = classes - taken;
  if (left < 0) throw new Error(`${classes} classes are too few for these containers`);
  const others = Math.min(OTHER_CONTAINERS, left);
  const rest = Array.from({ length: others }, (_, i) => ({
    name: `other-${i}`,
    readers: [],
    classes: Math.floor(((i + 1) * left) / others) - Math.floor((i * left) / others),
  }));
  let at = 0;
  return [...sized, ...rest].map(({ name, readers, classes: size }, i) => {
    const from = at;
    at += size;
    return { path: `/${name}`, level: LEVELS[i % LEVELS.length] ?? 'public', readers, from, to: at };
  });
}

function scatter(classes: number, share: number, random: () => number): Uint8Array {
  const mask = new Uint8Array(classes);
  const wanted = Math.max(1, Math.round(classes * share));
  for (let left = wanted; left > 0; ) {
    const position = Math.floor(random() * classes);
    if (mask[position] === 1) continue;
    mask[position] = 1;
    left -= 1;
  }
  return mask;
}

/** Two people of a class, never the same two in one container, so that no two classes of it are one. */
export function sharedWith(position: number, { from }: LayoutContainer): readonly [number, number] {
  const within = position - from;
  const first = within % PEOPLE;
  return [first, (first + 1 + Math.floor(within / PEOPLE)) % PEOPLE];
}

export const personName = (i: number): string => `person-${i}`;
export const people = (): readonly string[] => Array.from({ length: PEOPLE }, (_, i) => personName(i));
/** The groups of the callers who are in many; all have an entry on `/groups`. */
export const manyGroups = (): readonly string[] =>
  Array.from({ length: Math.max(...GROUP_COUNTS) }, (_, i) => `many-${i}`);
export const memberOfMany = (groups: number): string => `in-${groups}`;
/** Callers with the rights of a reader, of whom nothing has been computed yet. */
export const freshCallers = (reader: string): readonly string[] =>
  Array.from({ length: FRESH_CALLERS }, (_, i) => `${reader}-fresh-${i}`);
export const groupOf = (name: string): string => `group:${ISSUER}|${name}`;
