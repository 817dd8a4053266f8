/** What a service adds to the user that it acts for: nothing, and it takes nothing either within its ceiling. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { grant, revoke } from '../../src/admin/container-access.ts';
import { readDocument } from '../../src/retrieve/documents.ts';
import { authorize } from '../../src/store/authority.ts';
import { Directory } from '../../src/store/directory.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { readVisibleSet } from '../../src/store/visible-set.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let firm: Company;
let directory: Directory;

beforeAll(async () => {
  firm = await openCompany();
  directory = Directory.as(firm.database, firm.admin.context);
  await directory.setCeiling([
    { principal: service('agent'), level: 'confidential', compartments: ['payroll'], containers: ['/'] },
  ]);
});
afterAll(() => firm?.close());

async function addGroup(name: string, member: string): Promise<void> {
  await directory.upsertGroups([{ principal: group(name), displayName: name }]);
  await directory.setMembers([{ group: group(name), members: [{ principal: member }] }]);
  const entry = { principal: group(name), effect: 'allow' } as const;
  await grant(firm.parts, firm.caller('maria'), { container: '/hr', entry });
}

/** By the index's filter, by row-level security, and by `decide` on what was read. */
async function enforcers(name: string): Promise<readonly boolean[]> {
  const { identity, requestId } = firm.caller(name, 'agent');
  const document = firm.documents['/hr'];
  const { context } = await authorize(firm.database, 'retrieve', TEST_SCHEME, identity);
  const [row] = [
    await firm.one<{ class: number }>(`select class_id as class from document where id = '${document}'`),
  ];
  const { ranks } = await readVisibleSet(firm.database, context, undefined);
  const shown = await ReadableDocuments.as(firm.database, context).matching({});
  const read = readDocument({ ...firm.parts, sealer: undefined } as never, identity, { requestId, document });
  return [
    ranks.has(row.class as never),
    shown.includes(document as never),
    await read.then(
      () => true,
      () => false,
    ),
  ];
}

it('an allow for the user counts beside more allows for the acting service than are read of one class', async () => {
  for (let i = 0; i < 6; i += 1) await addGroup(`bots-${i}`, service('agent'));
  expect(await enforcers('petra')).toEqual([false, false, false]);
  await addGroup('late', user('anna'));
  const { id } = await firm.one<{ id: number }>(
    `select e.id from entry e join principal p on p.id = e.principal_id where p.key = '${group('hr')}'`,
  );
  await revoke(firm.parts, firm.caller('root'), { entry: id });
  expect(await enforcers('anna')).toEqual([true, true, true]);
  expect(await enforcers('petra')).toEqual([false, false, false]);
});
