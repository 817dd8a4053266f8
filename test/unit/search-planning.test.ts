/** What a query tells the index of what its caller may see, so that the search can be planned. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SearchRequest, VectorIndex } from '../../src/index/vector-index.ts';
import { instant, tenantId } from '../../src/policy/ids.ts';
import { isSilent, type LabelScheme } from '../../src/policy/label.ts';
import { NOTHING } from '../../src/policy/visibility-filter.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { ClassCounts } from '../../src/store/class-counts.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

let spine: Spine;
let counts: ClassCounts;
beforeAll(async () => {
  spine = await openSpine();
  for (let i = 0; i < 3; i += 1) await spine.add(spine.classes.open, `Open passage ${i}.`);
  for (let i = 0; i < 4; i += 1) await spine.add(spine.classes.closed, `Closed passage ${i}.`);
  counts = new ClassCounts({
    database: spine.database,
    now: () => instant(Date.now()),
    onFailure: (error) => {
      throw error;
    },
  });
  await vi.waitFor(() => expect(counts.chunksOf(tenantId(1), NOTHING)).toBe(0), 10_000);
});
afterAll(() => spine.close());

async function asked(
  who: CallerIdentity,
  changes: Partial<RetrieveParts> = {},
  filters = {},
): Promise<SearchRequest | undefined> {
  let seen: SearchRequest | undefined;
  const index = Object.create(spine.index, {
    search: {
      value: (request: SearchRequest) => {
        seen = request;
        return spine.index.search(request);
      },
    },
  }) as VectorIndex;
  const parts = { ...spine.parts, visibleSets: new VisibleSets(spine.database), index, ...changes };
  await retrieve(parts, who, { requestId: 'r', query: 'passage', limit: 2, filters });
  return seen;
}

describe('A search is told', () => {
  it('how many passages its caller may see, and of no others', async () => {
    expect((await asked(spine.ann, { classCounts: counts }))?.visibleChunks).toBe(3);
    expect((await asked(spine.bob, { classCounts: counts }))?.visibleChunks).toBe(7);
  });

  it('how many a filter leaves of them', async () => {
    const request = await asked(spine.bob, { classCounts: counts }, { container: '/closed' });
    expect(request?.visibleChunks).toBe(4);
  });

  it('nothing where nobody counts', async () => {
    expect((await asked(spine.ann))?.visibleChunks).toBeUndefined();
  });

  it('to be exact as soon as a class of a silent level is visible', async () => {
    const silentFrom = (rank: number): LabelScheme => ({
      ...SCHEME,
      levels: SCHEME.levels.map((level) => ({ ...level, silent: level.rank === rank })),
    });
    expect((await asked(spine.ann))?.exact).toBe(false);
    expect((await asked(spine.ann, { scheme: silentFrom(1) }))?.exact).toBe(true);
    expect((await asked(spine.ann, { scheme: silentFrom(2) }))?.exact).toBe(false);
    await asSuperuser(
      spine.database,
      `update access_class set level = 'confidential', rank = 2 where id = ${spine.classes.closed};
       insert into clearance (tenant_id, principal_id, level, rank) values (1, 2, 'confidential', 2)`,
    );
    expect((await asked(spine.ann, { scheme: silentFrom(2) }))?.exact).toBe(false);
    expect((await asked(spine.bob, { scheme: silentFrom(2) }))?.exact).toBe(true);
  });
});

describe('A level is silent', () => {
  it('by its own flag and by no other', () => {
    const scheme: LabelScheme = {
      ...SCHEME,
      levels: SCHEME.levels.map((level) => ({ ...level, silent: level.rank === 2 })),
    };
    expect(isSilent(scheme, new Set([0, 1, 3]))).toBe(false);
    expect(isSilent(scheme, new Set([0, 2]))).toBe(true);
    expect(isSilent(SCHEME, new Set([0, 1, 2, 3]))).toBe(false);
  });
});
