import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { VectorIndex } from '../../src/index/vector-index.ts';
import * as decision from '../../src/policy/decide.ts';
import { classId, documentId, tenantId } from '../../src/policy/ids.ts';
import { visibilityFilter } from '../../src/policy/visibility-filter.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

vi.mock('../../src/policy/decide.ts', { spy: true });

const QUESTION = 'What is the launch code of the harbour gate?';
const SECRET = 'The launch code of the harbour gate is 4711.';

/** An index whose filter was deleted: whatever is asked, it searches every class. */
function withoutFilter(index: VectorIndex, classes: readonly number[]): VectorIndex {
  const everything = visibilityFilter(classes.map(classId));
  if (everything.kind === 'nothing') throw new Error('no classes');
  return new Proxy(index, {
    get: (target, key) =>
      key === 'search'
        ? (request: Parameters<VectorIndex['search']>[0]) =>
            target.search({ ...request, visible: everything, span: undefined })
        : Reflect.get(target, key).bind(target),
  });
}

/** Row-level security deleted: a policy that lets everything pass beside the ones there are. */
async function withoutRowLevelSecurity(spine: Spine, work: () => Promise<void>): Promise<void> {
  for (const table of ['document', 'chunk'])
    await asSuperuser(
      spine.database,
      `create policy hole on ${table} for select to bulkhead_retrieve, bulkhead_reader using (true)`,
    );
  try {
    await work();
  } finally {
    for (const table of ['document', 'chunk'])
      await asSuperuser(spine.database, `drop policy hole on ${table}`);
  }
}

/** `decide` deleted: it still traces, and allows. */
async function withoutJudge(work: () => Promise<void>): Promise<void> {
  const { decide } = await vi.importActual<typeof decision>('../../src/policy/decide.ts');
  vi.mocked(decision.decide).mockImplementation((request) => ({
    kind: 'allow',
    trace: decide(request).trace,
  }));
  try {
    await work();
  } finally {
    vi.mocked(decision.decide).mockRestore();
    vi.mocked(decision.decide).mockImplementation(decide);
  }
}

describe('Two enforcers and a judge', () => {
  let spine: Spine;
  let classes: readonly number[];
  beforeAll(async () => {
    spine = await openSpine();
    classes = [spine.classes.open, spine.classes.closed];
    await spine.add(spine.classes.open, 'The harbour gate is painted every second spring.');
    await spine.add(spine.classes.closed, SECRET);
  });
  afterAll(() => spine.close());
  afterEach(() => (spine.drifts as unknown[]).splice(0));

  const unfiltered = (): RetrieveParts => ({ ...spine.parts, index: withoutFilter(spine.index, classes) });
  const ask = async (parts: RetrieveParts, who = spine.ann) => {
    const { content } = await retrieve(parts, who, {
      requestId: 'r',
      query: QUESTION,
      limit: 10,
      filters: {},
    });
    await parts.drift.settled();
    return content.passages.map((passage) => passage.text);
  };

  it('show the passage to the one who may read it, so that there is something to leak', async () => {
    expect(await ask(spine.parts, spine.bob)).toContain(SECRET);
  });

  it('keep it from the one who may not', async () => {
    expect(await ask(spine.parts)).not.toContain(SECRET);
    expect(spine.drifts).toEqual([]);
  });

  it('leak nothing with the index filter deleted, and raise the drift alarm', async () => {
    expect(await ask(unfiltered())).not.toContain(SECRET);
    expect(spine.drifts).toMatchObject([{ enforcer: 'row-level-security', class: spine.classes.closed }]);
  });

  it('leak nothing with row-level security deleted', async () => {
    await withoutRowLevelSecurity(spine, async () => {
      expect(await ask(spine.parts)).not.toContain(SECRET);
    });
  });

  it('leak nothing with decide() deleted', async () => {
    await withoutJudge(async () => {
      expect(await ask(spine.parts)).not.toContain(SECRET);
    });
  });

  it('leave decide() as the last to hold, and raise the drift alarm', async () => {
    await withoutRowLevelSecurity(spine, async () => {
      expect(await ask(unfiltered())).not.toContain(SECRET);
      expect(spine.drifts).toMatchObject([{ enforcer: 'decide', class: spine.classes.closed }]);
    });
  });

  it('leave row-level security as the last to hold', async () => {
    await withoutJudge(async () => {
      expect(await ask(unfiltered())).not.toContain(SECRET);
    });
  });

  it('leave the index filter as the last to hold', async () => {
    await withoutRowLevelSecurity(spine, () =>
      withoutJudge(async () => {
        expect(await ask(spine.parts)).not.toContain(SECRET);
      }),
    );
  });

  it('do leak when all three are deleted, which shows that the deletions above are real', async () => {
    await withoutRowLevelSecurity(spine, () =>
      withoutJudge(async () => {
        expect(await ask(unfiltered())).toContain(SECRET);
      }),
    );
  });

  it('count a drop as lag, not drift, when the document moved after the index was read', async () => {
    const moved = await spine.add(
      spine.classes.open,
      'The gate keeper of the harbour has the launch code 4712.',
    );
    await asSuperuser(
      spine.database,
      `update document set class_id = ${spine.classes.closed} where id = '${moved.id}'`,
    );
    const before = spine.lag();
    expect(await ask(spine.parts)).not.toContain('The gate keeper of the harbour has the launch code 4712.');
    expect(spine.drifts).toEqual([]);
    expect(spine.lag()).toBe(before + 1);
  });

  it('count a drop as lag, not drift, when the index caught up before anybody looked', async () => {
    const text = 'The harbour pilot has the launch code 4713.';
    const moved = await spine.add(spine.classes.open, text);
    await asSuperuser(
      spine.database,
      `update document set class_id = ${spine.classes.closed} where id = '${moved.id}'`,
    );
    const catchesUp = new Proxy(spine.index, {
      get: (target, key) =>
        key === 'search'
          ? async (request: Parameters<VectorIndex['search']>[0]) => {
              const found = await target.search(request);
              await target.moveDocument(tenantId(1), documentId(moved.id), classId(spine.classes.closed));
              return found;
            }
          : Reflect.get(target, key).bind(target),
    });
    const before = spine.lag();
    expect(await ask({ ...spine.parts, index: catchesUp })).not.toContain(text);
    expect(spine.drifts).toEqual([]);
    expect(spine.lag()).toBeGreaterThan(before);
    await spine.remove(moved);
  });

  it('count a drop as lag, not drift, when the document was published while the question was answered', async () => {
    const text = 'The harbour master keeps the launch code in a drawer.';
    const fresh = await spine.add(spine.classes.closed, text);
    await asSuperuser(spine.database, `update document set updated_at = now() where id = '${fresh.id}'`);
    expect(await ask(unfiltered())).not.toContain(text);
    expect(spine.drifts.map(({ document }) => document)).not.toContain(fresh.id);
    await spine.remove(fresh);
  });

  it('score the rest as if a dropped passage had never been found', async () => {
    const scores = async () => {
      const { content } = await retrieve(spine.parts, spine.ann, {
        requestId: 'r',
        query: QUESTION,
        limit: 10,
        filters: {},
      });
      return content.passages.map(({ document_id, score }) => [document_id, score]);
    };
    const before = await scores();
    const moved = await spine.add(spine.classes.open, SECRET);
    expect(await scores()).not.toEqual(before);
    await asSuperuser(
      spine.database,
      `update document set class_id = ${spine.classes.closed} where id = '${moved.id}'`,
    );
    expect(await scores()).toEqual(before);
  });

  it('return nothing to an unscoped query', async () => {
    const rows = await spine.database.unitOfWork('retrieve', undefined, async (trx) => {
      const documents = await trx.withSchema('bulkhead').selectFrom('document').selectAll().execute();
      const chunks = await trx.withSchema('bulkhead').selectFrom('chunk').selectAll().execute();
      return [...documents, ...chunks];
    });
    expect(rows).toEqual([]);
  });

  it('return nothing to the owner of the tables', async () => {
    const rows = await asSuperuser(spine.database, 'set local role bulkhead_owner; select id from document');
    expect(rows).toEqual([]);
  });

  it('use a cached visible set no longer than its epoch', async () => {
    const parts = { ...spine.parts, visibleSets: new VisibleSets(spine.database) };
    expect(await ask(parts)).not.toContain(SECRET);
    await asSuperuser(
      spine.database,
      `insert into entry (tenant_id, class_id, principal_id, effect) values (${tenantId(1)}, ${spine.classes.closed}, 1, 'allow')`,
    );
    expect(await ask(parts)).toContain(SECRET);
    await asSuperuser(
      spine.database,
      `delete from entry where class_id = ${spine.classes.closed} and principal_id = 1`,
    );
    expect(await ask(parts)).not.toContain(SECRET);
  });
});
