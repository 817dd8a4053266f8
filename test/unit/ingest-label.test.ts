import { describe, expect, it } from 'vitest';
import { type LabelRequest, label } from '../../src/ingest/4-label.ts';
import type { AccessFields } from '../../src/ingest/parsers/access-fields.ts';
import type { Entry } from '../../src/policy/access-class.ts';
import { instant, type PrincipalId, principalId } from '../../src/policy/ids.ts';
import type { OwnAccess } from '../../src/store/access-classes.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const ANN = 'user:workforce|ann';
const BOB = 'user:workforce|bob';
const principals = new Map<string, PrincipalId>([
  [ANN, principalId(1)],
  [BOB, principalId(2)],
]);
const ann = principalId(1);

const NOTHING: OwnAccess = { level: null, compartments: [], inherits: true, entries: [] };
const fields = (given: Partial<AccessFields>): AccessFields => ({ compartments: [], entries: [], ...given });
const allow = (principal: string, bounds = {}) => ({ principal, effect: 'allow' as const, ...bounds });
const deny = (principal: string, bounds = {}) => ({ principal, effect: 'deny' as const, ...bounds });
const denyOf = (principal: PrincipalId, from?: number, until?: number): Entry => ({
  principal,
  effect: 'deny',
  validFrom: from === undefined ? undefined : instant(from),
  validUntil: until === undefined ? undefined : instant(until),
});

/** In a container labelled internal, by somebody who holds `ingest` and nothing else. */
function ask(changes: Partial<LabelRequest> & { rights?: ('label' | 'grant')[] } = {}) {
  const { rights = [], ...rest } = changes;
  return label({
    container: {
      label: { rank: 1, compartments: new Set(['legal']) },
      mayLabel: rights.includes('label'),
      mayGrant: rights.includes('grant'),
    },
    present: undefined,
    submitter: principalId(9),
    fields: [],
    scheme: TEST_SCHEME,
    principals,
    ...rest,
  });
}
const asking = (changes: Parameters<typeof ask>[0]) => () => ask(changes);
const code = (name: string) => expect.objectContaining({ code: name });

describe('a new document', () => {
  it('says nothing itself when nobody says anything for it', () => {
    expect(ask()).toEqual({ own: NOTHING, rank: 1 });
  });

  it('takes the higher of its own level and its container’s', () => {
    expect(ask({ fields: [fields({ level: 'public' })] }).rank).toBe(1);
    expect(ask({ fields: [fields({ level: 'restricted' })] }).rank).toBe(3);
  });

  it('needs a label, its own or its container’s', () => {
    const container = { label: undefined, mayLabel: true, mayGrant: true };
    expect(asking({ container })).toThrow(code('label_required'));
    expect(asking({ container, fields: [fields({ compartments: ['legal'] })] })).toThrow(
      code('label_required'),
    );
    expect(ask({ container, fields: [fields({ level: 'public' })] }).rank).toBe(0);
  });

  it('may raise its label without any right', () => {
    const { own } = ask({ fields: [fields({ level: 'confidential', compartments: ['heron', 'board'] })] });
    expect(own).toMatchObject({ level: 'confidential', compartments: ['board', 'heron'] });
  });

  it('may deny and cut inheritance without any right', () => {
    const { own } = ask({ fields: [fields({ inherits: false, entries: [deny(ANN, { validFrom: 5 })] })] });
    expect(own).toMatchObject({ inherits: false, entries: [denyOf(ann, 5)] });
  });

  it('may allow only with grant', () => {
    const asked = { fields: [fields({ entries: [allow(ANN)] })] };
    expect(asking(asked)).toThrow(code('label_too_wide'));
    expect(asking({ ...asked, rights: ['label'] })).toThrow(code('label_too_wide'));
    expect(ask({ ...asked, rights: ['grant'] }).own.entries).toMatchObject([{ principal: ann }]);
  });
});

it('nobody allows themselves', () => {
  const asked = { fields: [fields({ entries: [allow(ANN)] })], rights: ['grant' as const], submitter: ann };
  expect(asking(asked)).toThrow(code('separation_of_duties'));
});

describe('names', () => {
  it('of unknown levels are refused', () => {
    expect(asking({ fields: [fields({ level: 'cosmic' })] })).toThrow(code('unknown_level'));
  });

  it('of unknown compartments are refused', () => {
    expect(asking({ fields: [fields({ compartments: ['cosmic'] })] })).toThrow(code('unknown_compartment'));
  });

  it('of unknown principals are refused', () => {
    const entries = [deny('user:workforce|nobody')];
    expect(asking({ fields: [fields({ entries })] })).toThrow(code('unknown_principal'));
  });
});

describe('request, sidecar and front matter', () => {
  it('are joined to the highest level, whatever their order', () => {
    const three = ['public', 'confidential', 'internal'].map((level) => fields({ level }));
    expect(ask({ fields: three }).own.level).toBe('confidential');
    expect(ask({ fields: three.toReversed() }).own.level).toBe('confidential');
  });

  it('are joined to all compartments and all denies', () => {
    const { own } = ask({
      fields: [
        fields({ compartments: ['heron'], entries: [deny(ANN)] }),
        fields({ compartments: ['board'], entries: [deny(BOB)] }),
      ],
    });
    expect(own.compartments).toEqual(['board', 'heron']);
    expect(own.entries).toHaveLength(2);
  });

  it('cut inheritance when any of them does', () => {
    const both = [fields({ inherits: true }), fields({ inherits: false })];
    expect(ask({ fields: both, rights: ['grant'] }).own.inherits).toBe(false);
  });

  it('allow whom all allow that name anybody, as long as all do', () => {
    const { own } = ask({
      rights: ['grant'],
      fields: [
        fields({ entries: [allow(ANN, { validFrom: 1, validUntil: 9 }), allow(BOB)] }),
        fields({ entries: [allow(ANN, { validFrom: 3 })] }),
        fields({ level: 'internal' }),
      ],
    });
    expect(own.entries).toEqual([{ principal: ann, effect: 'allow', validFrom: 3, validUntil: 9 }]);
  });

  it('allow nobody when they agree on nobody', () => {
    const lists = [fields({ entries: [allow(ANN)] }), fields({ entries: [allow(BOB)] })];
    expect(ask({ rights: ['grant'], fields: lists }).own.entries).toEqual([]);
    expect(asking({ fields: lists })).toThrow(code('label_too_wide'));
  });
});

describe('a document that comes again', () => {
  const present: OwnAccess = {
    level: 'confidential',
    compartments: ['board', 'heron'],
    inherits: false,
    entries: [denyOf(ann, 10, 20), { principal: principalId(2), effect: 'allow' }],
  };

  it('keeps what the fields leave open', () => {
    expect(ask({ present }).own).toEqual(present);
    expect(ask({ present, fields: [fields({ level: 'restricted' })] }).own).toEqual({
      ...present,
      level: 'restricted',
    });
  });

  it('may not fall in level, whoever submits it', () => {
    const asked = { present, fields: [fields({ level: 'internal' })] };
    expect(asking(asked)).toThrow(code('label_too_wide'));
    expect(asking({ ...asked, rights: ['grant', 'label'] })).toThrow(code('label_too_wide'));
  });

  it('may not lose a compartment, whoever submits it', () => {
    const asked = { present, fields: [fields({ compartments: ['heron', 'legal'] })] };
    expect(asking(asked)).toThrow(code('label_too_wide'));
    expect(asking({ ...asked, rights: ['label'] })).toThrow(code('label_too_wide'));
  });

  it('may not lose a deny, whoever submits it', () => {
    const asked = { present, fields: [fields({ entries: [deny(BOB)] })] };
    expect(asking(asked)).toThrow(code('label_too_wide'));
    expect(asking({ ...asked, rights: ['grant'] })).toThrow(code('label_too_wide'));
  });

  it('may not have a deny shortened without grant, on either side', () => {
    for (const bounds of [
      { validFrom: 11, validUntil: 20 },
      { validFrom: 10, validUntil: 19 },
    ])
      expect(asking({ present, fields: [fields({ entries: [deny(ANN, bounds)] })] })).toThrow(
        code('label_too_wide'),
      );
  });

  it('may have a deny lengthened, and keeps its allows, without grant', () => {
    const { own } = ask({ present, fields: [fields({ entries: [deny(ANN, { validFrom: 10 })] })] });
    expect(own.entries).toEqual([{ principal: principalId(2), effect: 'allow' }, denyOf(ann, 10)]);
  });

  it('may not have its cut of inheritance undone, whoever submits it', () => {
    const asked = { present, fields: [fields({ inherits: true })] };
    expect(asking(asked)).toThrow(code('label_too_wide'));
    expect(asking({ ...asked, rights: ['grant'] })).toThrow(code('label_too_wide'));
  });

  it('may not gain an allow, whoever submits it, and may keep those it has', () => {
    const more = {
      present,
      fields: [fields({ entries: [allow(BOB), allow(ANN), deny(ANN, { validFrom: 10, validUntil: 20 })] })],
    };
    expect(asking({ ...more, rights: ['grant'] })).toThrow(code('label_too_wide'));
    const same = [fields({ entries: [allow(BOB), deny(ANN, { validFrom: 10, validUntil: 20 })] })];
    expect(ask({ present, fields: same }).own.entries).toHaveLength(2);
  });

  it('counts a level that is no longer known as above all', () => {
    const strange = { ...present, level: 'cosmic' };
    expect(ask({ present: strange }).rank).toBe(TEST_SCHEME.levels.length);
    expect(asking({ present: strange, fields: [fields({ level: 'restricted' })] })).toThrow(
      code('label_too_wide'),
    );
  });
});
