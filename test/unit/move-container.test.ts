import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setInherits } from '../../src/admin/container-access.ts';
import { setDocumentAccess } from '../../src/admin/document-access.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { authorize } from '../../src/store/authority.ts';
import { Containers } from '../../src/store/containers.ts';
import { type Company, openCompany, user } from '../helpers/company.ts';
import { movingIn } from '../helpers/moving.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';
import { faultsOfTree } from '../helpers/tree.ts';

let firm: Company;
beforeEach(async () => {
  firm = await openCompany();
});
afterEach(() => firm.close());

const { root, maria, move, make, bind, rows, parentsByPath } = movingIn(() => firm);
const ALL = ['administer', 'grant', 'label'];

async function refusal(attempt: Promise<unknown>) {
  try {
    await attempt;
  } catch (error) {
    if (!isBulkheadError(error)) throw error;
    const { code, detail, issues } = error;
    return { code, detail, issues };
  }
  throw new Error('it was not refused');
}

describe('a container that moves', () => {
  it('takes everything below it along, keeps its name, and is found by its new path only', async () => {
    await make('/archive');
    await make('/hr/payroll/2026');
    expect(await move('/hr/payroll', '/archive')).toBe('/archive/payroll');
    expect(Object.fromEntries(await parentsByPath())).toEqual({
      '/open': '/',
      '/hr': '/',
      '/archive': '/',
      '/archive/payroll': '/archive',
      '/archive/payroll/2026': '/archive/payroll',
    });
    expect(await faultsOfTree(firm.database)).toEqual([]);
    expect((await refusal(move('/hr/payroll', '/open'))).code).toBe('not_found');
  });

  it('keeps the flattened tree as it would be computed anew, wherever inheritance is cut', async () => {
    await make('/archive');
    await make('/archive/old', { inherits: false });
    await make('/hr/payroll/2026', { inherits: false });
    await make('/hr/payroll/2026/may');
    await setDocumentAccess(firm.parts, root(), {
      document: firm.documents['/hr/payroll'],
      entries: [{ principal: user('petra'), effect: 'deny' }],
      inherits: false,
    });
    for (const [from, to] of [
      ['/hr/payroll', '/archive/old'],
      ['/archive/old/payroll/2026', '/archive'],
      ['/archive/old', '/hr'],
      ['/hr/old/payroll', '/'],
      ['/archive/2026', '/payroll'],
      ['/hr', '/payroll/2026'],
    ] as const) {
      await move(from, to);
      expect(await faultsOfTree(firm.database)).toEqual([]);
    }
    await setInherits(firm.parts, root(), { container: '/payroll/2026', inherits: true });
    expect(await faultsOfTree(firm.database)).toEqual([]);
  });

  it('changes one parent, and rewrites no document, passage, entry or binding', async () => {
    await make('/archive');
    await make('/hr/payroll/2026');
    const untouched = () =>
      firm.one(`select (select array_agg(xmin::text order by id) from document) as d,
        (select array_agg(xmin::text order by id) from chunk) as c, (select count(*) from outbox) as o,
        (select array_agg(xmin::text order by id) from entry) as e,
        (select array_agg(xmin::text order by id) from role_binding) as b`);
    const parents = () => rows('select id, parent_id from access_class order by id');
    const [before, epoch, old] = [await untouched(), await firm.epoch(), await parents()];
    await move('/hr/payroll', '/archive');
    expect(await untouched()).toEqual(before);
    expect(await firm.epoch()).toEqual({ ...epoch, counter: epoch.counter + 1 });
    const now = await parents();
    expect(now.filter((row, i) => JSON.stringify(row) !== JSON.stringify(old[i]))).toHaveLength(1);
  });

  it('is there no longer for readers by what it left, at once, in a visible set that was cached too', async () => {
    await make('/archive');
    const sets = new VisibleSets(firm.database);
    const visible = async () => {
      const { identity } = firm.caller('anna');
      const authority = await authorize(firm.database, 'retrieve', TEST_SCHEME, identity);
      return (await sets.of(authority))?.ranks.size ?? 0;
    };
    expect(await firm.readable('anna')).toContain(firm.documents['/hr/payroll']);
    expect(await visible()).toBe(3);
    await move('/hr/payroll', '/archive');
    expect(await firm.readable('anna')).not.toContain(firm.documents['/hr/payroll']);
    expect(await visible()).toBe(2);
  });

  it('is there for readers by what it came below, within its label', async () => {
    await move('/hr/payroll', '/open');
    expect(await firm.readable('otto')).toContain(firm.documents['/hr/payroll']);
    expect(await firm.readable('petra')).toEqual([firm.documents['/open']]);
  });

  it('is recorded by both paths, in the transaction of the move', async () => {
    await move('/hr/payroll', '/open');
    expect(await firm.events()).toEqual([
      {
        kind: 'container.moved',
        body: {
          v: 1,
          subject: user('root'),
          actor: null,
          request: 'req-root',
          from: '/hr/payroll',
          to: '/open/payroll',
        },
      },
    ]);
    expect((await firm.verify()).problems).toEqual([]);
  });

  it('stays, without a record, where it hangs already', async () => {
    const before = await firm.epoch();
    expect(await move('/hr/payroll', '/hr')).toBe('/hr/payroll');
    expect([await firm.epoch(), await firm.events()]).toEqual([before, []]);
  });
});

describe('a move is refused', () => {
  const refused = async (attempt: () => Promise<unknown>, code: string) => {
    const before = [await firm.epoch(), await parentsByPath()];
    expect((await refusal(attempt())).code).toBe(code);
    expect([await firm.epoch(), await parentsByPath()]).toEqual(before);
  };

  it('of the root, below itself, and below what is below it', async () => {
    await refused(() => move('/', '/hr'), 'invalid_request');
    await refused(() => move('/hr', '/hr'), 'invalid_request');
    await refused(() => move('/hr', '/hr/payroll'), 'invalid_request');
  });

  it('where another container has its name', async () => {
    await make('/open/payroll');
    await refused(() => move('/hr/payroll', '/open'), 'conflict');
  });

  it('where a path below it would get too long', async () => {
    const name = 'n'.repeat(120);
    for (const path of [`/${name}`, `/${name}/${name}`, `/${name}/${name}/${name}`, `/open/${name}`])
      await make(path);
    const deepest = `/${name}/${name}/${name}`;
    await make(`/open/${name}/${name}`);
    await refused(() => move(`/open/${name}`, deepest), 'invalid_request');
    expect(await move(`/open/${name}/${name}`, deepest)).toHaveLength(484);
  });

  it('where it would be left without the level that it has from above', async () => {
    await make('/drafts');
    await rows("update access_class set level = null, rank = null where path = '/'");
    await make('/hr/plain');
    await refused(() => move('/hr/plain', '/drafts'), 'label_required');
    await make('/drafts/lists');
    await make('/drafts/old');
    expect(await move('/drafts/lists', '/drafts/old')).toBe('/drafts/old/lists');
  });

  it('without grant and label on it, and administer on its parent', async () => {
    const otto = firm.caller('otto');
    await make('/hr/desk');
    await bind(user('otto'), '/hr/desk', ALL);
    await make('/hr/payroll/2026');
    await bind(user('otto'), '/hr/payroll', ['label', 'grant']);
    await refused(() => move('/hr/payroll/2026', '/hr/desk', otto), 'right_missing');
    expect(await refusal(move('/hr/payroll', '/hr/desk', otto))).toMatchObject({
      detail: 'This needs the right "administer" on /hr.',
    });
    await refused(() => move('/hr', '/open', otto), 'right_missing');
  });

  it('without all three on each container that it leaves: a label and a deny above are not shed from below', async () => {
    await make('/desk');
    await make('/hr/payroll/2026');
    await make('/hr/archive');
    for (const place of ['/hr/payroll', '/desk', '/hr/archive']) await bind(user('otto'), place, ALL);
    const otto = firm.caller('otto');
    expect(await refusal(move('/hr/payroll/2026', '/desk', otto))).toMatchObject({
      code: 'right_missing',
      detail: 'This needs the right "administer" on /hr.',
    });
    await bind(user('otto'), '/hr', ['administer', 'label']);
    expect((await refusal(move('/hr/payroll/2026', '/desk', otto))).detail).toContain('"grant" on /hr.');
    expect(await move('/hr/payroll/2026', '/hr/archive', otto)).toBe('/hr/archive/2026');
  });

  it.each(ALL)('without %s where it is to go', async (right) => {
    await make('/desk');
    await bind(
      user('maria'),
      '/desk',
      ALL.filter((other) => other !== right),
    );
    expect(await refusal(move('/hr/payroll', '/desk', maria()))).toMatchObject({
      code: 'right_missing',
      detail: `This needs the right "${right}" on /desk.`,
    });
  });

  it('from and to what is hidden in the words of what is missing', async () => {
    await make('/secret');
    const petra = firm.caller('petra');
    expect(await refusal(move('/hr', '/open', petra))).toEqual(await refusal(move('/none', '/open', petra)));
    expect(await refusal(move('/hr', '/secret', petra))).toEqual(await refusal(move('/none', '/no', petra)));
    const hidden = await refusal(move('/hr/payroll', '/secret', maria()));
    expect(hidden).toEqual(await refusal(move('/hr/payroll', '/none', maria())));
    expect(hidden.code).toBe('unknown_container');
    expect((await refusal(move('/hr/payroll', '/open', maria()))).code).toBe('right_missing');
  });

  it('by the database too, whatever admin would have allowed', async () => {
    const idOf = async (path: string) =>
      (await firm.one<{ id: number }>(`select id from access_class where path = '${path}'`)).id as never;
    const attempt = async (name: string, from: string, to: string) => {
      const { context } = await authorize(firm.database, 'admin', TEST_SCHEME, firm.caller(name).identity);
      const [container, target] = [await idOf(from), await idOf(to)];
      return firm.database.unitOfWork('admin', context, (trx) =>
        Containers.within(trx).move(container, target),
      );
    };
    await make('/desk');
    await make('/hr/payroll/2026');
    const refuses = { sqlState: '42501' };
    await expect(attempt('petra', '/hr/payroll', '/open')).rejects.toMatchObject(refuses);
    await expect(attempt('maria', '/hr/payroll', '/open')).rejects.toMatchObject(refuses);
    for (const place of ['/hr/payroll', '/desk']) await bind(user('otto'), place, ALL);
    await expect(attempt('otto', '/hr/payroll/2026', '/desk')).rejects.toMatchObject(refuses);
    await bind(user('otto'), '/hr', ['administer', 'label']);
    await expect(attempt('otto', '/hr/payroll/2026', '/desk')).rejects.toMatchObject(refuses);
    for (const [from, to] of [
      ['/', '/hr'],
      ['/hr', '/hr'],
      ['/hr', '/hr/payroll/2026'],
    ] as const)
      await expect(attempt('root', from, to)).rejects.toMatchObject({ sqlState: '22023' });
    await expect(
      firm.database.unitOfWork('ingest', firm.admin.context, (trx) =>
        Containers.within(trx).move(1 as never, 2 as never),
      ),
    ).rejects.toMatchObject(refuses);
    expect(await faultsOfTree(firm.database)).toEqual([]);
  });
});
