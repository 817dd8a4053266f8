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
  readCompanyDirectory,
  readCompanyPolicy,
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

describe.each(policy.chapters)('$title', ({ cases }) => {
  it.each(cases)('$name ($subject)', async (spec) => {
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
    const { kind, reason } = { reason: undefined, ...decision };
    const seen = {
      decision: kind,
      reason,
      visible: (await visibleTo(authority)).includes(spec.document),
      readable: (await readableTo(authority)).includes(spec.document),
    };
    const allowed = spec.decision === 'allow';
    expect(seen).toEqual({
      decision: spec.decision,
      reason: spec.reason,
      visible: allowed,
      readable: allowed,
    });
  });
});

describe('All that an account may read, and nothing else', () => {
  it.each(policy.visibleSets.map((spec) => ({ ...spec, who: describeAsker(spec) })))('$who', async (spec) => {
    const expected = expandGlobs(spec.visible, company.documents.keys());
    const leaver = directory.users.some((user) => user.account === spec.subject && user.status === 'left');
    if (leaver) {
      expect(expected).toEqual([]);
      await expect(authorityOf(spec)).rejects.toMatchObject({ code: 'subject_disabled' });
      return;
    }
    const authority = await authorityOf(spec);
    expect(await visibleTo(authority)).toEqual(expected);
    expect(await readableTo(authority)).toEqual(expected);
  });
});

interface Receipt {
  readonly kind: string;
  readonly body: {
    readonly subject: string;
    readonly actor: string | null;
    readonly now: number;
    readonly passages: readonly { readonly document: string }[];
  };
}

async function receiptsOf(request: string): Promise<readonly Receipt[]> {
  const rows = await asSuperuser<{ kind: string; body: string }>(
    company.core.database,
    `select kind, body from audit_record where body::json->>'request' = '${request}'`,
  );
  return rows.map(({ kind, body }) => ({ kind, body: JSON.parse(body) as Receipt['body'] }));
}

describe('What the audit says after a question', () => {
  it.each(policy.receipts.map((spec, i) => ({ ...spec, request: `receipt-${i}`, who: describeAsker(spec) })))(
    '$who: $question',
    async (spec) => {
      await company.setClock(spec.at);
      const ask = () =>
        retrieve(company.core.retrieve, callerOf(directory, spec), {
          requestId: spec.request,
          query: spec.question,
          limit: 10,
          filters: {},
        });
      const { outcome, includes, excludes } = spec.receipt;
      if (outcome === 'refused') {
        await expect(ask()).rejects.toMatchObject({ code: 'subject_disabled' });
        expect(await receiptsOf(spec.request)).toEqual([]);
        return;
      }
      const { content } = await ask();
      const receipts = await receiptsOf(spec.request);
      expect(receipts).toMatchObject([
        {
          kind: 'release',
          body: { subject: spec.receipt.subject, actor: spec.receipt.actor, now: spec.at },
        },
      ]);
      const named = company.named(
        receipts.flatMap(({ body }) => body.passages.map(({ document }) => document)),
      );
      expect(company.named(content.passages.map(({ document }) => document))).toEqual(named);
      expect(named.length > 0).toBe(outcome === 'released');
      expect(named).toEqual(expect.arrayContaining(includes));
      expect(named.filter((name) => excludes.includes(name))).toEqual([]);
    },
  );

  it('no question raised an alarm', async () => {
    await company.core.retrieve.drift.settled();
    expect(company.alarms).toEqual([]);
  });
});
