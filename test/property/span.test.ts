import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SearchRequest } from '../../src/index/vector-index.ts';
import { classId } from '../../src/policy/ids.ts';
import { includesClass, visibilityFilter } from '../../src/policy/visibility-filter.ts';
import { authorizeQuery } from '../../src/retrieve/1-authorize.ts';
import { search } from '../../src/retrieve/3-search.ts';
import { spanUnused } from '../../src/retrieve/span.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

const PREPARED = { query: 'q', vector: Float32Array.of(1), terms: [] };
const NOTHING = { dense: [], sparse: [] };
const ids = fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 80 });

describe('The span of a visible set', () => {
  it('admits every visible class and no other class that the tenant has', () =>
    fc.assert(
      fc.property(ids, fc.func(fc.boolean()), (given, isVisible) => {
        const visible = given.filter((id) => isVisible(id));
        const span = spanUnused(visibilityFilter(visible.map(classId)), Int32Array.from(given).sort());
        for (const id of given) expect(includesClass(span, classId(id))).toBe(visible.includes(id));
      }),
    ));

  it('is one range for whoever may read everything, however the ids lie', () =>
    fc.assert(
      fc.property(ids, (given) => {
        const span = spanUnused(visibilityFilter(given.map(classId)), Int32Array.from(given).sort());
        expect(span).toMatchObject({ ranges: [{ from: Math.min(...given), to: Math.max(...given) }] });
      }),
    ));
});

describe('The span that a search may be filtered by', () => {
  let spine: Spine;
  beforeAll(async () => {
    spine = await openSpine();
  });
  afterAll(() => spine.close());

  const spanOf = async () => (await authorizeQuery(spine.parts, spine.ann, {})).span;
  const intern = (id: number, entries: string) =>
    asSuperuser(
      spine.database,
      `update policy_epoch set watermark = watermark + 1;
       insert into access_class (id, tenant_id, parent_id, kind, inherits, intern_key, seq)
         select ${id}, 1, ${spine.classes.open}, 'adhoc', false, 'k${id}', watermark from policy_epoch;
       insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass) values
         (${id}, ${id}, 1, true), (${id}, ${spine.classes.open}, 1, false), (${id}, ${spine.classes.open - 1}, 1, false);
       ${entries}`,
    );
  const allowAnn = (id: number) =>
    `insert into entry (tenant_id, class_id, principal_id, effect) values (1, ${id}, 1, 'allow')`;

  it('joins what nothing lies between, and parts again when a hidden class is interned there', async () => {
    await intern(3_001, allowAnn(3_001));
    await intern(3_009, allowAnn(3_009));
    expect(includesClass(await spanOf(), classId(3_005))).toBe(true);
    await intern(3_005, '');
    const span = await spanOf();
    expect(includesClass(span, classId(3_005))).toBe(false);
    expect([3_001, 3_009].map((id) => includesClass(span, classId(id)))).toEqual([true, true]);
  });

  it('is all of a search that a hidden class between visible ones changes', async () => {
    await intern(4_001, allowAnn(4_001));
    await intern(4_009, allowAnn(4_009));
    const asked: SearchRequest[] = [];
    const ask = async () => {
      const index = {
        search: async (request: SearchRequest) => {
          asked.push(request);
          return NOTHING;
        },
      };
      const authorized = await authorizeQuery(spine.parts, spine.ann, {});
      await search({ ...spine.parts.index, ...index }, authorized, PREPARED);
    };
    await ask();
    await intern(4_005, '');
    await ask();
    const [{ span: before, ...rest } = {}, { span: after, ...restAfter } = {}] = asked;
    expect(after).not.toEqual(before);
    expect(restAfter).toEqual(rest);
  });
});
