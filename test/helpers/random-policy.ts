import fc from 'fast-check';

/** A whole random tenant, small enough to be checked document by document. Indexes refer within the object. */
export interface RandomPolicy {
  readonly groups: number;
  readonly classes: readonly RandomClass[];
  readonly memberships: readonly (RandomValidity & { readonly group: number; readonly member: number })[];
  readonly clearances: readonly (RandomValidity & {
    readonly principal: number;
    readonly rank: number;
    readonly compartments: readonly string[];
  })[];
  readonly ceiling:
    | {
        readonly rank: number;
        readonly compartments: readonly string[];
        readonly containers: readonly number[];
      }
    | undefined;
  readonly acr: string | undefined;
  readonly authAgeSeconds: number | undefined;
  readonly withActor: boolean;
}

interface RandomClass {
  /** Index of the parent, below its own index; the root is its own parent. */
  readonly parent: number;
  readonly inherits: boolean;
  readonly rank: number | undefined;
  readonly compartments: readonly string[];
  readonly entries: readonly (RandomValidity & {
    readonly principal: number;
    readonly effect: 'allow' | 'deny';
  })[];
}

/** Hours from now; nothing lies within an hour of it, so a slow test changes no outcome. */
export interface RandomValidity {
  readonly from: number | undefined;
  readonly until: number | undefined;
}

/** Principals by index: 0 the user, 1 the acting service, 2 everyone, 3… groups. */
export const USER = 0;
export const ACTOR = 1;
export const EVERYONE = 2;
export const FIRST_GROUP = 3;

const hours = fc.constantFrom(-3, -2, 2, 3);
/** Half of the intervals are unbounded, so that not everything has lapsed. */
const bound = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: hours });
const validity = { from: bound, until: bound };
const compartments = fc.subarray(['a', 'b']);
const rank = fc.integer({ min: 0, max: 3 });

export const randomPolicy: fc.Arbitrary<RandomPolicy> = fc.integer({ min: 1, max: 4 }).chain((groups) => {
  const principals = FIRST_GROUP + groups;
  // the user and what contains it are named often enough that many cases end in allow
  const principal = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(USER, EVERYONE) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: principals - 1 }) },
  );
  const group = fc.integer({ min: FIRST_GROUP, max: principals - 1 });
  const entry = fc.record({
    principal,
    effect: fc.oneof(
      { weight: 4, arbitrary: fc.constant('allow' as const) },
      { weight: 1, arbitrary: fc.constant('deny' as const) },
    ),
    ...validity,
  });
  const cls = fc.record({
    parent: fc.nat(),
    inherits: fc.oneof(
      { weight: 4, arbitrary: fc.constant(true) },
      { weight: 1, arbitrary: fc.constant(false) },
    ),
    rank: fc.option(rank, { nil: undefined, freq: 3 }),
    compartments: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: compartments }),
    entries: fc.array(entry, { minLength: 0, maxLength: 2 }),
  });
  return fc.record({
    groups: fc.constant(groups),
    classes: fc
      .array(cls, { minLength: 1, maxLength: 9 })
      .map((list) => list.map((c, i) => ({ ...c, parent: i === 0 ? 0 : c.parent % i }))),
    memberships: fc
      .uniqueArray(
        fc.record({ group, member: fc.oneof(fc.constant(USER), fc.constant(ACTOR), group), ...validity }),
        { maxLength: 5, selector: (m) => `${m.group}:${m.member}` },
      )
      .map((list) => list.filter((m) => m.group !== m.member)),
    clearances: fc.array(
      fc.record({
        principal,
        rank: fc.oneof(rank, fc.constant(3)),
        compartments: fc.oneof(compartments, fc.constant(['a', 'b'])),
        ...validity,
      }),
      { minLength: 1, maxLength: 3 },
    ),
    ceiling: fc.option(
      fc.record({ rank, compartments, containers: fc.array(fc.nat({ max: 8 }), { maxLength: 3 }) }),
      { nil: undefined, freq: 4 },
    ),
    acr: fc.constantFrom(undefined, 'pwd', 'mfa'),
    authAgeSeconds: fc.constantFrom(undefined, 60, 100_000),
    withActor: fc.oneof(
      { weight: 2, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
  });
});
