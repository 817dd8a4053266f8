import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classId } from '../../src/policy/ids.ts';
import { formatPrincipal, parsePrincipal } from '../../src/policy/principal.ts';
import { includesClass, NOTHING, narrow, visibilityFilter } from '../../src/policy/visibility-filter.ts';

describe('A principal', () => {
  it.each([
    'user:workforce|anna.keller',
    'group:partners|project-leads',
    'service:w|order-sync',
    'everyone',
    'group:kc|/tenant-b/admin',
  ])('%s reads back as it was written', (text) => {
    const principal = parsePrincipal(text);
    expect(principal && formatPrincipal(principal)).toBe(text);
  });

  it.each([
    '',
    'anna',
    'user:anna',
    'user:|x',
    'user:w|',
    'user:W|x',
    'everyone ',
    ' everyone',
    'robot:w|x',
    'user:w|a|b',
    'user:w|a\nb',
    'user:w|\u0000',
  ])('%j is none', (text) => {
    expect(parsePrincipal(text)).toBeUndefined();
  });

  it('of two issuers never becomes one', () => {
    expect(parsePrincipal('group:a|leads')).not.toEqual(parsePrincipal('group:b|leads'));
  });
});

describe('A visibility filter', () => {
  const ids = fc.array(fc.integer({ min: 1, max: 60 }).map(classId));

  it('holds exactly the classes it was made of', () => {
    fc.assert(
      fc.property(ids, (list) => {
        const filter = visibilityFilter(list);
        const set = new Set(list);
        for (let id = 0; id <= 61; id += 1)
          expect(includesClass(filter, classId(id))).toBe(set.has(classId(id)));
      }),
    );
  });

  it('has ranges that are ascending, apart and without gaps', () => {
    fc.assert(
      fc.property(ids, (list) => {
        const filter = visibilityFilter(list);
        if (filter.kind === 'nothing') return;
        expect(filter.size).toBe(new Set(list).size);
        filter.ranges.forEach((range, i) => {
          expect(range.from).toBeLessThanOrEqual(range.to);
          const before = filter.ranges[i - 1];
          if (before !== undefined) expect(range.from).toBeGreaterThan(before.to + 1);
        });
      }),
    );
  });

  it('of no class is nothing, and nothing stays nothing', () => {
    expect(visibilityFilter([])).toBe(NOTHING);
    expect(narrow(NOTHING, () => true)).toBe(NOTHING);
  });

  it('narrowed is never wider', () => {
    fc.assert(
      fc.property(ids, fc.func(fc.boolean()), (list, keep) => {
        const narrowed = narrow(visibilityFilter(list), keep);
        const set = new Set(list);
        for (let id = 0; id <= 61; id += 1)
          if (includesClass(narrowed, classId(id)))
            expect(set.has(classId(id)) && keep(classId(id))).toBe(true);
      }),
    );
  });
});
