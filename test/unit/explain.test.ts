import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grant } from '../../src/admin/container-access.ts';
import { explain, type Question } from '../../src/admin/explain.ts';
import { disableAccount } from '../../src/admin/principals.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';

let firm: Company;
beforeAll(async () => {
  firm = await openCompany();
});
afterAll(() => firm.close());

const MISSING = '00000000-0000-4000-8000-00000000dead';
const ask = (name: string, question: Question, actor?: string) =>
  explain(firm.parts, firm.caller(name, actor), question);
const payroll = () => firm.documents['/hr/payroll'];

async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await attempt);
  } catch (error) {
    if (!isBulkheadError(error)) throw error;
    return JSON.stringify([error.code, error.detail, error.issues]);
  }
}

describe('about oneself', () => {
  it('says in sentences why one may read a document', async () => {
    expect(await ask('anna', { document: payroll() })).toEqual({
      decision: 'allow',
      label: { level: 'confidential', compartments: ['payroll'] },
      steps: [
        'Your clearance confidential + payroll covers the label confidential + payroll.',
        'The folder /hr allows the group Human Resources.',
        'No entry denies you or a group that you are in.',
      ],
    });
  });

  it('names the group or everyone that a clearance is held through, and the service that acts', async () => {
    expect((await ask('petra', { document: firm.documents['/open'] }, 'agent')).steps).toEqual([
      'Your clearance public (through everyone) covers the label public.',
      'The folder /open allows everyone.',
      'No entry denies you or a group that you are in.',
      'Research agent, acting for you, is admitted by its limits.',
    ]);
  });

  it('is recorded before it is told', async () => {
    const seen = (await firm.events()).length;
    await ask('anna', { document: payroll() });
    expect((await firm.events()).slice(seen)).toMatchObject([
      {
        kind: 'explained',
        body: { subject: user('anna'), about: user('anna'), document: payroll(), decision: 'allow' },
      },
    ]);
  });

  it('is the not_found of a missing document for every document that one may not read', async () => {
    const missing = await refusal(ask('petra', { document: MISSING }));
    expect(missing).toContain('not_found');
    expect(await refusal(ask('petra', { document: payroll() }))).toBe(missing);
    expect(await refusal(ask('petra', { document: payroll(), subject: user('petra') }))).toBe(missing);
    expect(await refusal(ask('petra', { document: 'x' }))).toBe(missing);
    expect(await refusal(ask('anna', { document: payroll() }, 'agent'))).toBe(missing);
  });
});

describe('about others', () => {
  it('says to who oversees the document and is cleared for it why they may or may not', async () => {
    const about = await ask('otto', { document: payroll(), subject: user('maria') });
    expect(about).toMatchObject({ decision: 'deny', reason: 'no-clearance' });
    expect(about.steps).toEqual([
      "None of Maria's clearances alone covers the label confidential + payroll.",
      'The folder /hr allows the group Human Resources.',
      'No entry denies Maria or a group that Maria is in.',
      expect.stringContaining('assumes the strongest'),
    ]);
    expect(await ask('otto', { document: payroll(), subject: user('anna') })).toMatchObject({
      decision: 'allow',
    });
    const petra = await ask('otto', { document: payroll(), subject: user('petra') });
    expect(petra).toMatchObject({ decision: 'deny', reason: 'no-allow' });
  });

  it('counts what a service acting for them may, and its denies', async () => {
    const question = { document: payroll(), subject: user('anna'), actor: service('agent') };
    expect(await ask('otto', question)).toMatchObject({ decision: 'deny', reason: 'actor-label' });
    await grant(firm.parts, firm.caller('root'), {
      container: '/hr',
      entry: { principal: user('anna'), effect: 'deny', validUntil: 4e12 },
    });
    const denied = await ask('otto', question);
    expect(denied).toMatchObject({ decision: 'deny', reason: 'denied' });
    expect(denied.steps).toContain('The folder /hr denies Anna.');
  });

  it('is the not_found of a missing document without the right, without the clearance, and about nobody', async () => {
    const missing = await refusal(ask('petra', { document: MISSING, subject: user('anna') }));
    // petra holds nothing; maria oversees but is not cleared; root oversees everything and is cleared for nothing
    for (const name of ['petra', 'maria', 'root', 'anna'])
      expect(await refusal(ask(name, { document: payroll(), subject: user('otto') }))).toBe(missing);
    for (const subject of [user('nobody'), group('hr'), 'everyone', ''])
      expect(await refusal(ask('otto', { document: payroll(), subject }))).toBe(missing);
    expect(await refusal(ask('otto', { document: payroll(), actor: service('nobody') }))).toBe(missing);
    expect(await refusal(ask('otto', { document: payroll(), subject: user('anna') }, 'agent'))).toBe(missing);
  });

  it('says that an account is disabled', async () => {
    await disableAccount(firm.parts, firm.caller('root'), user('maria'));
    const about = await ask('otto', { document: payroll(), subject: user('maria') });
    expect(about).toMatchObject({ decision: 'deny', reason: 'account-disabled' });
  });
});
