/** Past a level's maxDirectoryAgeSeconds its documents are closed to whoever the old source vouches for, to the instant. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { instant } from '../../src/policy/ids.ts';
import { assuranceCeiling, type LabelScheme } from '../../src/policy/label.ts';
import { listDocuments, readDocument } from '../../src/retrieve/documents.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

const HOUR = 3_600;
/** What is internal takes a directory of at most an hour. */
const scheme: LabelScheme = {
  ...SCHEME,
  levels: SCHEME.levels.map((level) =>
    level.name === 'internal' ? { ...level, safeguards: { maxDirectoryAgeSeconds: HOUR } } : level,
  ),
};

describe('the ceiling of a directory', () => {
  const at = (age: number) =>
    assuranceCeiling(
      scheme,
      { acr: 'mfa', authTime: instant(9_000_000), directoryAsOf: instant(1_000_000) },
      instant(1_000_000 + age),
    ).directory;

  it.each([
    [HOUR * 1000 - 1_000, 3],
    [HOUR * 1000, 3],
    [HOUR * 1000 + 1, 0],
    [HOUR * 1000 + 1_000, 0],
  ])('%i ms after it was current is rank %i', (age, rank) => {
    expect(at(age)).toBe(rank);
  });

  it('that was never current admits nothing above what asks for none', () => {
    const assurance = { acr: undefined, authTime: undefined, directoryAsOf: instant(0) };
    expect(assuranceCeiling(scheme, assurance, instant(Date.now())).directory).toBe(0);
  });
});

describe('a source that grows old', () => {
  let spine: Spine;
  let parts: Spine['parts'];
  let document = '';
  beforeAll(async () => {
    spine = await openSpine();
    // one cache for all: a visible set that outlived the boundary would be found in it
    parts = { ...spine.parts, scheme, visibleSets: new VisibleSets(spine.database) };
    document = (await spine.add(spine.classes.open, 'The buoy was renewed in spring.', 'Buoy')).id;
    // ann is vouched for by `w`, bob by `v`
    await asSuperuser(
      spine.database,
      `update directory_account set source = 'v' where principal_id = 2;
       insert into directory_source (tenant_id, source, as_of) values (1, 'v', now());`,
    );
  }, 60_000);
  afterAll(() => spine.close());

  const age = (source: string, ms: number) =>
    asSuperuser(
      spine.database,
      `update directory_source set as_of = clock_timestamp() - interval '1 millisecond' * ${ms} where source = '${source}'`,
    );
  const retrieved = async (who: CallerIdentity) => {
    const request = { requestId: 'r', query: 'when was the buoy renewed?', limit: 5, filters: {} };
    return (await retrieve(parts, who, request)).content;
  };
  const reads = (who: CallerIdentity) =>
    readDocument(parts, who, { requestId: 'r', document }).then(
      () => 'read',
      (error: { code?: string }) => error.code,
    );
  const listed = async (who: CallerIdentity) => {
    const request = { requestId: 'r', limit: 10, filters: {}, cursor: undefined };
    return (await listDocuments(parts, who, request as Parameters<typeof listDocuments>[2])).content.documents
      .length;
  };
  const seenBy = async (who: CallerIdentity) => [
    (await retrieved(who)).passages.length,
    await reads(who),
    await listed(who),
  ];

  it('is closed a second after, on every way to a document, and open a second before', async () => {
    await age('w', HOUR * 1000 - 60_000);
    expect(await seenBy(spine.ann)).toEqual([1, 'read', 1]);
    await age('w', HOUR * 1000 + 1_000);
    expect(await seenBy(spine.ann)).toEqual([0, 'not_found', 0]);
  });

  it('closes while the visible set of before is still cached, by the clock alone', async () => {
    await age('w', HOUR * 1000 - 4_000);
    const until = Date.now() + 4_000;
    const before = await retrieved(spine.ann);
    expect(before.passages).toHaveLength(1);
    expect(Date.now()).toBeLessThan(until);
    await new Promise((resolve) => setTimeout(resolve, until - Date.now() + 50));
    const after = await retrieved(spine.ann);
    expect(after.passages).toHaveLength(0);
    // derived from the visible set: row-level security and decide() alone would leave it as it was
    expect(after.freshness.policy).not.toBe(before.freshness.policy);
    expect(await reads(spine.ann)).toBe('not_found');
  });

  it('closes nothing to those whom another source vouches for', async () => {
    await age('w', HOUR * 1000 + 1_000);
    await age('v', 1_000);
    expect(await seenBy(spine.bob)).toEqual([1, 'read', 1]);
    await age('v', HOUR * 1000 + 1_000);
    await age('w', 1_000);
    expect(await seenBy(spine.bob)).toEqual([0, 'not_found', 0]);
    expect(await seenBy(spine.ann)).toEqual([1, 'read', 1]);
  });

  it('says in the answer how old it is', async () => {
    await age('w', 5_000);
    const { freshness } = await retrieved(spine.ann);
    const told = Date.now() - Date.parse(freshness.directory_as_of ?? '');
    expect(told).toBeGreaterThanOrEqual(5_000);
    expect(told).toBeLessThan(60_000);
  });

  describe('of a group', () => {
    beforeAll(async () => {
      // ann is in the crew of `g`; bob in a group made by hand, and in one that ended; both accounts are of `w`
      await asSuperuser(
        spine.database,
        `update directory_account set source = 'w';
         insert into directory_source (tenant_id, source, as_of, kept) values (1, 'g', now(), true), (1, 'h', now(), true),
           (1, 'made', now() - interval '1 year', false);
         insert into principal (id, tenant_id, kind, key) overriding system value values (10, 1, 'group', 'group:g|crew'),
           (11, 1, 'group', 'group:made|here'), (12, 1, 'group', 'group:nowhere|here'), (13, 1, 'group', 'group:gg|crew'),
           (14, 1, 'group', 'group:h|left');
         insert into membership (tenant_id, group_id, member_id, valid_until) values (1, 10, 1, null), (1, 11, 2, null),
           (1, 12, 2, null), (1, 13, 2, null), (1, 14, 2, now());`,
      );
    });
    beforeEach(async () => {
      for (const source of ['w', 'g', 'h']) await age(source, 1_000);
    });
    const [open, closed] = [
      [1, 'read', 1],
      [0, 'not_found', 0],
    ];

    it('closes what asks for its age to its members and to nobody else, and opens it when it is current again', async () => {
      expect(await seenBy(spine.ann)).toEqual(open);
      await age('g', HOUR * 1000 + 1_000);
      expect(await seenBy(spine.ann)).toEqual(closed);
      expect(await seenBy(spine.bob)).toEqual(open);
      await age('g', HOUR * 1000 - 60_000);
      expect(await seenBy(spine.ann)).toEqual(open);
    });

    it('is beside that of the account, which still counts', async () => {
      await age('w', HOUR * 1000 + 1_000);
      expect(await seenBy(spine.ann)).toEqual(closed);
      expect(await seenBy(spine.bob)).toEqual(closed);
    });

    it('says in the answer how old it is', async () => {
      await age('g', 600_000);
      const { freshness } = await retrieved(spine.ann);
      expect(Date.now() - Date.parse(freshness.directory_as_of ?? '')).toBeGreaterThanOrEqual(600_000);
    });

    it('counts through a group that was made by hand, and no longer than the membership', async () => {
      const add = 'insert into membership (tenant_id, group_id, member_id) values (1, 10, 11)';
      await asSuperuser(spine.database, add);
      await age('g', HOUR * 1000 + 1_000);
      expect(await seenBy(spine.bob)).toEqual(closed);
      await asSuperuser(spine.database, 'delete from membership where group_id = 10 and member_id = 11');
      await age('h', HOUR * 1000 + 1_000);
      expect(await seenBy(spine.bob)).toEqual(open);
    });

    it('is not asked of a group that the token names, but of those that it is in', async () => {
      await age('g', HOUR * 1000 + 1_000);
      const bearer = { ...spine.bob, tokenGroups: ['group:g|crew'] };
      expect(await seenBy(bearer)).toEqual(open);
      await age('h', HOUR * 1000 + 1_000);
      await asSuperuser(
        spine.database,
        'insert into membership (tenant_id, group_id, member_id) values (1, 14, 10)',
      );
      expect(await seenBy(bearer)).toEqual(closed);
    });
  });
});
