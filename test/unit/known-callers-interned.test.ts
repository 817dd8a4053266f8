import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setDocumentAccess } from '../../src/admin/document-access.ts';
import { createGroup } from '../../src/admin/principals.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { authorize } from '../../src/store/authority.ts';
import { KnownCallers } from '../../src/store/known-callers.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { type Company, openCompany, user } from '../helpers/company.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const SUSPECTS = 'group:workforce|suspects';
let firm: Company;
let callers: KnownCallers;
beforeEach(async () => {
  firm = await openCompany();
  callers = new KnownCallers();
});
afterEach(() => firm.close());

const root = () => firm.caller('root');
const petra = () => ({ ...firm.caller('petra').identity, tokenGroups: [SUSPECTS] });
const known = () => callers.authorize({ database: firm.database, scheme: TEST_SCHEME }, petra());
const fresh = () => authorize(firm.database, 'retrieve', TEST_SCHEME, petra());
const restrict = (entries: Parameters<typeof setDocumentAccess>[2]['entries'], inherits: boolean) =>
  setDocumentAccess(firm.parts, root(), { document: firm.documents['/open'], entries, inherits });

describe('a caller who was read before and a document that came to a class of its own since', () => {
  it('a deny of a group that came with the token, and that the directory did not have before, hides it', async () => {
    await known();
    await createGroup(firm.parts, root(), { principal: SUSPECTS, displayName: 'Suspects' });
    await restrict([{ principal: SUSPECTS, effect: 'deny' }], true);
    const authority = await known();
    const readable = await ReadableDocuments.as(firm.database, authority.context).matching({});
    expect(readable).not.toContain(firm.documents['/open']);
    expect(authority.subject).toEqual((await fresh()).subject);
  });

  it('an allow that ends by itself leaves the visible set when it does', async () => {
    const visibleSets = new VisibleSets(firm.database);
    await visibleSets.of(await known());
    const validUntil = Date.now() + 1_500;
    await restrict([{ principal: user('petra'), effect: 'allow', validUntil }], false);
    const { id } = await firm.one<{ id: number }>(
      `select class_id as id from document where id = '${firm.documents['/open']}'`,
    );
    const ids = async () => [...((await visibleSets.of(await known()))?.ranks.keys() ?? [])];
    expect(await ids()).toContain(id);
    expect((await known()).boundary).toBe(validUntil);
    while (Date.now() <= validUntil) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await ids()).not.toContain(id);
  });
});
