import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instant } from '../../src/policy/ids.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { type Authority, authorize } from '../../src/store/authority.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

describe('A cached visible set', () => {
  let spine: Spine;
  beforeAll(async () => {
    spine = await openSpine();
  });
  afterAll(() => spine.close());

  const ask = () => authorize(spine.database, 'retrieve', SCHEME, spine.ann);
  const later = (authority: Authority, ms: number): Authority => ({
    ...authority,
    now: instant(authority.now + ms),
    context: { ...authority.context, now: instant(authority.now + ms) },
  });

  /** An ad-hoc class that ann may read until so many milliseconds from now. */
  const intern = (id: number, ms: number) =>
    asSuperuser(
      spine.database,
      `update policy_epoch set watermark = watermark + 1;
       insert into access_class (id, tenant_id, parent_id, kind, inherits, intern_key, seq)
         select ${id}, 1, ${spine.classes.open}, 'adhoc', false, 'k${id}', watermark from policy_epoch;
       insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass) values
         (${id}, ${id}, 1, true), (${id}, ${spine.classes.open}, 1, false), (${id}, ${spine.classes.open - 1}, 1, false);
       insert into entry (tenant_id, class_id, principal_id, effect, valid_until)
         values (1, ${id}, 1, 'allow', clock_timestamp() + ${ms} * interval '1 millisecond')`,
    );

  it('is extended by a class interned since, without a new epoch', async () => {
    const sets = new VisibleSets(spine.database);
    const before = await ask();
    await sets.of(before);
    await intern(2001, 3_600_000);
    const after = await ask();
    expect(after.epoch).toEqual(before.epoch);
    expect([...((await sets.of(after))?.ranks.keys() ?? [])]).toContain(2001);
  });

  it('does not outlive the validity of a class interned between authority and set', async () => {
    const sets = new VisibleSets(spine.database);
    const authority = await ask();
    await intern(2002, 60_000);
    expect([...((await sets.of(authority))?.ranks.keys() ?? [])]).toContain(2002);
    const expired = later(await ask(), 120_000);
    expect([...((await sets.of(expired))?.ranks.keys() ?? [])]).not.toContain(2002);
  });
});
