import { describe, expect, it } from 'vitest';
import type { AccessClass } from '../../src/policy/access-class.ts';
import { type Decision, decide } from '../../src/policy/decide.ts';
import { classId, instant, principalId, tenantId } from '../../src/policy/ids.ts';
import type { LabelScheme } from '../../src/policy/label.ts';
import type { Subject } from '../../src/policy/subject.ts';

const scheme: LabelScheme = {
  levels: ['public', 'internal', 'confidential', 'restricted'].map((name, rank) => ({
    name,
    rank,
    safeguards:
      rank === 3
        ? { acr: ['mfa'], maxAuthAgeSeconds: 3600 }
        : rank === 2
          ? { maxDirectoryAgeSeconds: 600 }
          : {},
  })),
  compartments: new Set(['payroll', 'legal']),
  digest: '',
};
const NOW = instant(1_000_000_000_000);
const [ME, TEAM, BOT, OTHER] = [1, 2, 3, 4].map(principalId) as [
  ReturnType<typeof principalId>,
  ReturnType<typeof principalId>,
  ReturnType<typeof principalId>,
  ReturnType<typeof principalId>,
];

interface ClassSpec {
  readonly id: number;
  readonly parent?: number;
  readonly inherits?: boolean;
  readonly rank?: number;
  readonly compartments?: readonly string[];
  readonly allow?: readonly number[];
  readonly deny?: readonly number[];
  readonly entries?: AccessClass['entries'];
}

function cls(spec: ClassSpec): AccessClass {
  const entry = (effect: 'allow' | 'deny') => (p: number) => ({ principal: principalId(p), effect });
  return {
    id: classId(spec.id),
    parent: spec.parent === undefined ? undefined : classId(spec.parent),
    inherits: spec.inherits ?? true,
    label: { rank: spec.rank, compartments: new Set(spec.compartments) },
    entries: [
      ...(spec.entries ?? []),
      ...(spec.allow ?? []).map(entry('allow')),
      ...(spec.deny ?? []).map(entry('deny')),
    ],
  };
}

function subject(overrides: Partial<Subject['user']> = {}, actor?: Subject['actor']): Subject {
  return {
    tenant: tenantId(1),
    user: {
      principal: ME,
      name: 'user:w|me',
      principals: new Set([ME, TEAM]),
      clearances: [{ principal: ME, rank: 3, compartments: new Set() }],
      assurance: { acr: 'mfa', authTime: instant(NOW - 1000), directoryAsOf: NOW },
      ...overrides,
    },
    actor,
  };
}

function ask(classes: readonly AccessClass[], who: Subject = subject(), id = classes.at(-1)?.id): Decision {
  const byId = new Map(classes.map((c) => [c.id, c]));
  return decide({ subject: who, class: id ?? classId(0), lookup: (c) => byId.get(c), scheme, now: NOW });
}

const reason = (decision: Decision) => (decision.kind === 'deny' ? decision.reason : decision.kind);

describe('A subject may read a document when', () => {
  it('an allow entry names it and a clearance dominates the label', () => {
    expect(ask([cls({ id: 1, rank: 1, allow: [ME] })]).kind).toBe('allow');
  });

  it('a group it is in is allowed on a container above', () => {
    expect(ask([cls({ id: 1, rank: 1, allow: [TEAM] }), cls({ id: 2, parent: 1 })]).kind).toBe('allow');
  });
});

describe('Nobody reads a class', () => {
  it('without an effective label', () => {
    expect(reason(ask([cls({ id: 1, allow: [ME] })]))).toBe('no-label');
  });

  it('without any effective entry', () => {
    expect(reason(ask([cls({ id: 1, rank: 0 })]))).toBe('no-entries');
  });

  it('that cuts every allow above it and has no entry of its own', () => {
    const above = cls({ id: 1, rank: 0, allow: [ME] });
    const sealed = cls({ id: 2, parent: 1, inherits: false });
    expect(reason(ask([above, sealed]))).toBe('no-entries');
    const denying = cls({ id: 1, rank: 0, allow: [ME], deny: [OTHER] });
    expect(reason(ask([denying, sealed]))).toBe('no-allow');
  });

  it('whose ancestors cannot be walked to the root', () => {
    expect(reason(ask([cls({ id: 2, parent: 9, rank: 0, allow: [ME] })]))).toBe('no-path');
  });

  it('that is its own ancestor', () => {
    expect(reason(ask([cls({ id: 1, parent: 2, rank: 0, allow: [ME] }), cls({ id: 2, parent: 1 })]))).toBe(
      'no-path',
    );
  });

  it('that does not exist', () => {
    expect(reason(ask([cls({ id: 1, rank: 0, allow: [ME] })], subject(), classId(7)))).toBe('no-path');
  });
});

describe('Inheritance', () => {
  const root = cls({ id: 1, rank: 0, allow: [ME] });

  it('cut by a class stops allows from above', () => {
    const cut = cls({ id: 2, parent: 1, inherits: false, allow: [OTHER] });
    expect(reason(ask([root, cut]))).toBe('no-allow');
  });

  it('cut by a class keeps its own allows', () => {
    expect(ask([root, cls({ id: 2, parent: 1, inherits: false, allow: [TEAM] })]).kind).toBe('allow');
  });

  it('cut half way stops what is above the cut and not what is below it', () => {
    const cut = cls({ id: 2, parent: 1, inherits: false, allow: [OTHER] });
    expect(reason(ask([root, cut, cls({ id: 3, parent: 2 })]))).toBe('no-allow');
    expect(ask([root, cut, cls({ id: 3, parent: 2, allow: [ME] })]).kind).toBe('allow');
  });

  it('cut by a class never stops a deny from above', () => {
    const denying = cls({ id: 1, rank: 0, allow: [ME], deny: [TEAM] });
    expect(reason(ask([denying, cls({ id: 2, parent: 1, inherits: false, allow: [ME] })]))).toBe('denied');
  });

  it('joins levels and compartments of every ancestor, cut or not', () => {
    const high = cls({ id: 1, rank: 2, compartments: ['legal'] });
    const decision = ask([
      high,
      cls({ id: 2, parent: 1, inherits: false, rank: 0, compartments: ['payroll'], allow: [ME] }),
    ]);
    expect(decision.trace.label).toEqual({ rank: 2, compartments: new Set(['legal', 'payroll']) });
  });
});

describe('Clearances', () => {
  const secret = cls({ id: 1, rank: 2, compartments: ['legal'], allow: [ME] });
  const held = (...list: readonly [number, readonly string[]][]) =>
    subject({
      clearances: list.map(([rank, compartments]) => ({
        principal: ME,
        rank,
        compartments: new Set(compartments),
      })),
    });

  it('are never joined with each other', () => {
    expect(reason(ask([secret], held([2, []], [1, ['legal']])))).toBe('no-clearance');
  });

  it('need every compartment', () => {
    expect(reason(ask([secret], held([3, ['payroll']])))).toBe('no-clearance');
  });

  it('of one that dominates are enough', () => {
    expect(ask([secret], held([0, []], [2, ['legal', 'payroll']])).kind).toBe('allow');
  });

  it('are needed for public documents too', () => {
    expect(reason(ask([cls({ id: 1, rank: 0, allow: [ME] })], held()))).toBe('no-clearance');
  });
});

describe('Validity is half-open', () => {
  const entry = (validFrom?: number, validUntil?: number) =>
    cls({
      id: 1,
      rank: 0,
      entries: [
        {
          principal: ME,
          effect: 'allow',
          validFrom: validFrom === undefined ? undefined : instant(validFrom),
          validUntil: validUntil === undefined ? undefined : instant(validUntil),
        },
      ],
    });

  it.each([
    ['from this instant', NOW, undefined, 'allow'],
    ['from the next', NOW + 1, undefined, 'no-allow'],
    ['until the next instant', undefined, NOW + 1, 'allow'],
    ['until this one', undefined, NOW, 'no-allow'],
  ])('an allow valid %s', (_, from, until, expected) => {
    expect(reason(ask([entry(from, until)]))).toBe(expected);
  });

  it('of a clearance counts like that of an entry', () => {
    const expired = subject({
      clearances: [{ principal: ME, rank: 3, compartments: new Set(), validUntil: NOW }],
    });
    expect(reason(ask([cls({ id: 1, rank: 0, allow: [ME] })], expired))).toBe('no-clearance');
  });
});

describe('An acting service', () => {
  const open = cls({ id: 1, rank: 1, allow: [ME] });
  const actor = (overrides: Partial<NonNullable<Subject['actor']>> = {}): Subject['actor'] => ({
    principal: BOT,
    name: 'service:w|bot',
    principals: new Set([BOT]),
    ceiling: { rank: 1, compartments: new Set(), containers: new Set([classId(1)]) },
    ...overrides,
  });
  const ceiling = (rank: number, containers: readonly number[]) => ({
    rank,
    compartments: new Set<string>(),
    containers: new Set(containers.map(classId)),
  });

  it('within its ceiling reads what its user reads', () => {
    expect(ask([open], subject({}, actor())).kind).toBe('allow');
  });

  it('without a ceiling reads nothing', () => {
    expect(reason(ask([open], subject({}, actor({ ceiling: undefined }))))).toBe('actor-no-ceiling');
  });

  it('reads nothing above its level', () => {
    expect(reason(ask([open], subject({}, actor({ ceiling: ceiling(0, [1]) }))))).toBe('actor-label');
  });

  it('reads nothing outside its containers', () => {
    expect(reason(ask([open], subject({}, actor({ ceiling: ceiling(3, [5]) }))))).toBe('actor-container');
  });

  it('that is denied by name reads nothing, though its user may', () => {
    const denying = cls({ id: 1, rank: 1, allow: [ME], deny: [BOT] });
    expect(reason(ask([denying], subject({}, actor())))).toBe('actor-denied');
  });

  it('adds nothing: an allow for it opens nothing to its user', () => {
    expect(reason(ask([cls({ id: 1, rank: 0, allow: [BOT] })], subject({}, actor())))).toBe('no-allow');
  });
});

describe('Safeguards of the level', () => {
  const restricted = cls({ id: 1, rank: 3, allow: [ME] });
  const signedIn = (acr: string | undefined, ago: number | undefined) =>
    subject({
      assurance: { acr, authTime: ago === undefined ? undefined : instant(NOW - ago), directoryAsOf: NOW },
    });

  it.each([
    ['too weak', 'pwd', 1000],
    ['of unknown strength', undefined, 1000],
    ['too old', 'mfa', 3_600_001],
    ['of unknown age', 'mfa', undefined],
  ])('unmet by a sign-in %s alone give stepUp', (_, acr, ago) => {
    const decision = ask([restricted], signedIn(acr, ago));
    expect(decision).toMatchObject({ kind: 'stepUp', need: { acr: ['mfa'], maxAuthAgeSeconds: 3600 } });
  });

  it('are met by a sign-in of exactly the longest age', () => {
    expect(ask([restricted], signedIn('mfa', 3_600_000)).kind).toBe('allow');
  });

  it('never give stepUp where something else is missing', () => {
    expect(reason(ask([cls({ id: 1, rank: 3, allow: [OTHER] })], signedIn('pwd', 1000)))).toBe('no-allow');
  });

  it('of the levels below count too', () => {
    const stale = subject({
      assurance: { acr: 'mfa', authTime: NOW, directoryAsOf: instant(NOW - 600_001) },
    });
    expect(reason(ask([restricted], stale))).toBe('directory-stale');
    expect(ask([cls({ id: 1, rank: 1, allow: [ME] })], stale).kind).toBe('allow');
  });
});
