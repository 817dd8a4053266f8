import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { ingestMany, ingestOne } from '../../src/ingest/ingest.ts';
import type { AccessFields } from '../../src/ingest/parsers/access-fields.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { Submission } from '../../src/ingest/submission.ts';
import { documentId } from '../../src/policy/ids.ts';
import type { Authority } from '../../src/store/authority.ts';
import { Directory } from '../../src/store/directory.ts';
import { addAccounts, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

let test: TestIngest;
/** Holds `ingest`, `label` and `grant` on /team. */
let lead: Authority;

beforeAll(async () => {
  test = await openTestIngest();
  await addAccounts(test, 'lead');
  const { database, admin } = test;
  await database.unitOfWork('admin', admin.context, async (trx) => {
    await sql`select bulkhead.create_container(bulkhead.ctx_root(), '/team', true, 'internal', '{}', '[]')`.execute(
      trx,
    );
  });
  await Directory.as(database, admin.context).bindRight(
    ['ingest', 'label', 'grant'].map((right) => ({
      principal: 'user:workforce|lead',
      container: '/team',
      right,
    })),
  );
  lead = await test.as('user:workforce|lead');
});
afterAll(() => test.close());

const fields = (given: Partial<AccessFields>): AccessFields => ({ compartments: [], entries: [], ...given });
const team = (externalId: string, text: string, changes: Partial<Submission> = {}) =>
  markdown(text, { container: '/team', externalId, ...changes });
const submit = (who: Authority, submission: Submission) =>
  ingestOne(test.parts, { authority: who }, submission);
const levelOf = async (id: string) =>
  (
    await test.rows<{ level: string | null }>(
      `select c.level from document d join access_class c on c.id = d.class_id where d.external_id = '${id}'`,
    )
  )[0]?.level;

describe('Whoever submits a document', () => {
  it('cannot open the one that is there by submitting junk under its name', async () => {
    await submit(
      test.admin,
      team('merger.md', '# Merger\n\nThe price.', { access: fields({ level: 'restricted' }) }),
    );
    const junk = team('merger.md', 'junk', { access: fields({ level: 'internal' }) });
    expect(await submit(lead, junk)).toMatchObject({ status: 'failed', error: { code: 'label_too_wide' } });
    expect(await levelOf('merger.md')).toBe('restricted');
  });

  it('cannot shed a label by deleting the document and waiting for its source', async () => {
    const created = await submit(
      test.admin,
      team('plan.md', '# Plan\n\nThe plan.', { access: fields({ level: 'restricted' }) }),
    );
    await removeDocument(test.parts, { authority: lead }, documentId(created.documentId ?? ''));
    expect(await submit(test.admin, team('plan.md', '# Plan\n\nThe plan.'))).toMatchObject({
      status: 'created',
    });
    expect(await levelOf('plan.md')).toBe('restricted');
  });

  it('cannot allow themselves', async () => {
    const entries = [{ principal: 'user:workforce|lead', effect: 'allow' as const }];
    expect(await submit(lead, team('own.md', 'Mine.', { access: fields({ entries }) }))).toMatchObject({
      status: 'failed',
      error: { code: 'separation_of_duties' },
    });
  });

  it('writes nothing more once they may not', async () => {
    let disabled = false;
    const renew = async () => {
      if (disabled) throw new BulkheadError('subject_disabled', 'Your account is disabled.');
      return lead;
    };
    let firstIsDone: () => void = () => {};
    const firstDone = new Promise<void>((resolve) => {
      firstIsDone = resolve;
    });
    const documents = async function* () {
      yield team('late-0.md', 'Document number 0.');
      await firstDone;
      yield team('late-1.md', 'Document number 1.');
      yield team('late-2.md', 'Document number 2.');
    };
    const outcomes: string[] = [];
    for await (const result of ingestMany(test.parts, { authority: lead, renew }, documents())) {
      outcomes.push(result.error?.code ?? result.status);
      disabled = true;
      firstIsDone();
    }
    expect(outcomes).toEqual(['created', 'subject_disabled', 'subject_disabled']);
    expect(await levelOf('late-1.md')).toBeUndefined();
  });
});
