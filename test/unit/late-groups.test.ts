import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classId, documentId, tenantId } from '../../src/policy/ids.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

const LATE = 'group:w|late';
const OWN_CLASS = 910;
let spine: Spine;
beforeAll(async () => {
  spine = await openSpine();
});
afterAll(() => spine.close());

/** What `createGroup` and `setDocumentAccess` leave behind: a principal, and a class interned for one document. */
async function denyLate(document: string): Promise<void> {
  const { open } = spine.classes;
  await asSuperuser(
    spine.database,
    `insert into principal (id, tenant_id, kind, key) overriding system value values (9, 1, 'group', '${LATE}')`,
  );
  await asSuperuser(
    spine.database,
    `update policy_epoch set watermark = watermark + 1;
     insert into access_class (id, tenant_id, parent_id, kind, intern_key, seq)
       select ${OWN_CLASS}, 1, ${open}, 'adhoc', 'late', watermark from policy_epoch;
     insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass)
       select ${OWN_CLASS}, ancestor_id, 1, true from class_ancestor where class_id = ${open}
       union all select ${OWN_CLASS}, ${OWN_CLASS}, 1, true;
     insert into entry (tenant_id, class_id, principal_id, effect) values (1, ${OWN_CLASS}, 9, 'deny');
     update document set class_id = ${OWN_CLASS} where id = '${document}'`,
  );
  await spine.index.moveDocument(tenantId(1), documentId(document), classId(OWN_CLASS));
}

describe('a group of the caller’s token that the directory gets, and that a document is denied to', () => {
  it('while the question is under way, counts for its answer', async () => {
    const document = await spine.add(spine.classes.open, 'The harbour gate opens at nine.');
    let isDenied = false;
    class Late extends VisibleSets {
      override async of(...args: Parameters<VisibleSets['of']>) {
        if (!isDenied) await denyLate(document.id);
        isDenied = true;
        return super.of(...args);
      }
    }
    const parts: RetrieveParts = { ...spine.parts, visibleSets: new Late(spine.database) };
    const ask = async (tokenGroups: readonly string[]) => {
      const question = { requestId: 'r', query: 'When does the harbour gate open?', limit: 10, filters: {} };
      const { content } = await retrieve(parts, { ...spine.ann, tokenGroups }, question);
      return content.passages.map(({ text }) => text);
    };
    expect(await ask([LATE])).toEqual([]);
    expect(await ask([])).toEqual(['The harbour gate opens at nine.']);
  });
});
