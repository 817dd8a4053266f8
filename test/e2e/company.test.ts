import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide } from '../../src/policy/decide.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import { type Authority, authorize } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { readVisibleSet } from '../../src/store/visible-set.ts';
import {
  type Asker,
  callerOf,
  describeAsker,
  expandGlobs,
  type PolicyCase,
  type ReceiptCase,
  readCompanyDirectory,
  readCompanyPolicy,
  type VisibleSetCase,
} from '../helpers/company-policy.ts';
import { type DemoCompany, openDemoCompany } from '../helpers/demo-company.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const policy = readCompanyPolicy();
const directory = await readCompanyDirectory();
let company: DemoCompany;

beforeAll(async () => {
  company = await openDemoCompany();
}, 300_000);
afterAll(() => company.close());

async function authorityOf(asker: Asker): Promise<Authority> {
  await company.setClock(asker.at);
  const authority = await authorize(
    company.core.database,
    'retrieve',
    company.core.scheme,
    callerOf(directory, asker),
  );
  expect(authority.now).toBe(asker.at);
  return authority;
}

/** What the first enforcer lets the caller see, by name. */
async function visibleTo({ context }: Authority): Promise<readonly string[]> {
  const { ranks } = await readVisibleSet(company.core.database, context, undefined);
  return [...company.documents].flatMap(([name, doc]) => (ranks.has(doc.class) ? [name] : [])).sort();
}

/** What row-level security lets the caller see, by name. */
async function readableTo({ context }: Authority): Promise<readonly string[]> {
  return company.named(await ReadableDocuments.as(company.core.database, context).matching({}));
}

function documentNamed(name: string) {
  const document = company.documents.get(name);
  if (document === undefined) throw new Error(`The company has no document ${name}.`);
  return document;
}

describe('The company', () => {
  it('is loaded whole: every document is there, none failed', () => {
    expect(company.problems).toEqual([]);
    expect(company.documents.size).toBeGreaterThanOrEqual(150);
  });

  it('has every document that the specification names', () => {
    const named = [
      ...policy.chapters.flatMap(({ cases }) => cases.map(({ document }) => document)),
      ...policy.receipts.flatMap(({ receipt }) => [...receipt.includes, ...receipt.excludes]),
    ];
    expect(named.filter((name) => !company.documents.has(name))).toEqual([]);
  });

  it('has a visible set and a receipt for each of its accounts, and sixty cases and more', () => {
    const accounts = [...directory.users, ...directory.services].map(({ account }) => account).sort();
    const alone = (askers: readonly Asker[]) => [
      ...new Set(askers.filter(({ actor }) => actor === undefined).map(({ subject }) => subject)),
    ];
    expect(alone(policy.visibleSets).sort()).toEqual(accounts);
    expect(alone(policy.receipts).sort()).toEqual(accounts);
    expect(policy.chapters.flatMap(({ cases }) => cases).length).toBeGreaterThanOrEqual(60);
  });
});

async function meets(spec: PolicyCase): Promise<void> {
  if (spec.reason === 'subject-disabled') {
    await expect(authorityOf(spec)).rejects.toMatchObject({ code: 'subject_disabled' });
    return;
  }
  const authority = await authorityOf(spec);
  const decision = decide({
    subject: authority.subject,
    class: documentNamed(spec.document).class,
    lookup: (id) => company.classes.get(id),
    scheme: company.core.scheme,
    now: authority.now,
  });
  expect({
    decision: decision.kind,
    reason: decision.kind === 'deny' ? decision.reason : undefined,
    visible: (await visibleTo(authority)).includes(spec.document),
    readable: (await readableTo(authority)).includes(spec.document),
  }).toEqual({
    decision: spec.decision,
    reason: spec.reason,
    visible: spec.decision === 'allow',
    readable: spec.decision === 'allow',
  });
}

async function seesAllOf(spec: VisibleSetCase): Promise<void> {
  const expected = expandGlobs(spec.visible, company.documents.keys());
  if (directory.users.some(({ account, status }) => account === spec.subject && status === 'left')) {
    expect(expected).toEqual([]);
    await expect(authorityOf(spec)).rejects.toMatchObject({ code: 'subject_disabled' });
    return;
  }
  const authority = await authorityOf(spec);
  expect(await visibleTo(authority)).toEqual(expected);
  expect(await readableTo(authority)).toEqual(expected);
}

interface ReleaseRecord {
  readonly kind: string;
  readonly body: {
    readonly subject: string;
    readonly actor: string | null;
    readonly now: number;
    readonly passages: readonly { readonly document: string }[];
  };
}

async function recordsOf(request: string): Promise<readonly ReleaseRecord[]> {
  const rows = await asSuperuser<{ kind: string; body: string }>(
    company.core.database,
    `select kind, body from audit_record where body::json->>'request' = '${request}'`,
  );
  return rows.map(({ kind, body }) => ({ kind, body: JSON.parse(body) as ReleaseRecord['body'] }));
}

async function isReceipted(spec: ReceiptCase, requestId: string): Promise<void> {
  await company.setClock(spec.at);
  const { outcome, includes, excludes, subject, actor } = spec.receipt;
  const request = { requestId, query: spec.question, limit: 10, filters: {} };
  const answer = retrieve(company.core.retrieve, callerOf(directory, spec), request);
  if (outcome === 'refused') {
    await expect(answer).rejects.toMatchObject({ code: 'subject_disabled' });
    expect(await recordsOf(requestId)).toEqual([]);
    return;
  }
  const shown = company.named((await answer).content.passages.map((passage) => passage.document_id));
  const records = await recordsOf(requestId);
  expect(records).toMatchObject([{ kind: 'release', body: { subject, actor, now: spec.at } }]);
  const released = company.named(records.flatMap(({ body }) => body.passages.map((p) => p.document)));
  expect(released).toEqual(shown);
  expect(released.length > 0 ? 'released' : 'nothing').toBe(outcome);
  expect(released).toEqual(expect.arrayContaining(includes));
  expect(released.filter((name) => excludes.includes(name))).toEqual([]);
}

for (const { title, cases } of policy.chapters)
  describe(title, () => {
    for (const spec of cases) it(`${spec.name} (${describeAsker(spec)})`, () => meets(spec));
  });

describe('All that an account may read, and nothing else', () => {
  for (const spec of policy.visibleSets) it(describeAsker(spec), () => seesAllOf(spec));
});

describe('What the audit says after a question', () => {
  for (const [i, spec] of policy.receipts.entries())
    it(`${describeAsker(spec)}: ${spec.question}`, () => isReceipted(spec, `receipt-${i}`));

  it('that raised no alarm', async () => {
    await company.core.retrieve.drift.settled();
    expect(company.alarms).toEqual([]);
  });
});
