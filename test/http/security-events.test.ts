import { setTimeout as wait } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nobodyIn } from '../../src/store/session-context.ts';
import { openTestApp } from '../helpers/app.ts';
import { serveKeys } from '../helpers/key-set-server.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { CAEP, RISC, SSF, seconds, TestTransmitter } from '../helpers/security-events.ts';

let them: TestTransmitter;

beforeAll(async () => {
  them = await TestTransmitter.open();
});
afterAll(() => them.close());

/** @returns status and code that the token gets */
async function ask(token: string): Promise<readonly [number, string | undefined]> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${them.app.url}/v1/documents`, { headers });
  const { code } = (await response.json()) as { code?: string };
  return [response.status, code];
}

describe('An event that is taken', () => {
  it('takes back what was issued to a user until then, and not what is issued after', async () => {
    const before = await them.app.token('petra');
    expect(await ask(before)).toEqual([200, undefined]);
    const event = them.claims(`${CAEP}credential-change`, them.user('petra'));
    expect(await them.push(await them.sign(event))).toMatchObject({ status: 202, json: undefined });
    expect(await ask(before)).toEqual([401, 'credential_revoked']);
    await wait(1_100);
    expect(await ask(await them.app.token('petra'))).toEqual([200, undefined]);
    expect(await them.recordsOf('signal.received', event)).toMatchObject([
      {
        transmitter: them.issuer,
        event: 'caep/credential-change',
        effect: 'revoke',
        about: 'user:workforce|petra',
      },
    ]);
    expect(await them.records('credential.revoked')).toContainEqual(
      expect.objectContaining({
        transmitter: them.issuer,
        id: 'workforce|petra',
        reason: 'caep/credential-change',
      }),
    );
  });

  it.each([
    ['session-revoked', { format: 'opaque', id: 's-1' }, 'session', 'workforce|s-1'],
    [
      'session-revoked',
      () => ({ format: 'complex', user: them.user('zoe'), session: { format: 'opaque', id: 's-2' } }),
      'session',
      'workforce|s-2',
    ],
    ['session-revoked', () => them.user('zoe-1'), 'user', 'workforce|zoe-1'],
    ['token-claims-change', () => them.user('zoe-2'), 'user', 'workforce|zoe-2'],
    [
      'assurance-level-change',
      () => ({ format: 'complex', user: them.user('zoe-3'), session: { format: 'opaque', id: 's-3' } }),
      'user',
      'workforce|zoe-3',
    ],
  ])('%s revokes what it names', async (event, subject, kind, id) => {
    const sub_id = typeof subject === 'function' ? subject() : subject;
    expect(await them.send(them.claims(CAEP + event, sub_id))).toBe(202);
    expect(await them.revocations()).toContainEqual(
      expect.objectContaining({ kind, id, reason: `caep/${event}` }),
    );
  });

  it('disables an account, and no later event enables it again', async () => {
    const token = await them.app.token('carla');
    expect(await ask(token)).toEqual([200, undefined]);
    them.configure({ issuerName: 'partners', subjectIssuer: String(decodeJwt(token).iss) });
    const carla = them.user('carla', String(decodeJwt(token).iss));
    expect(await them.send(them.claims(`${RISC}account-disabled`, carla))).toBe(202);
    await wait(1_100);
    expect(await ask(await them.app.token('carla'))).toEqual([403, 'subject_disabled']);
    const enabled = them.claims(`${RISC}account-enabled`, carla);
    expect(await them.send(enabled)).toBe(202);
    expect(await ask(await them.app.token('carla'))).toEqual([403, 'subject_disabled']);
    expect(await them.recordsOf('signal.received', enabled)).toMatchObject([
      { event: 'risc/account-enabled', effect: 'noted', about: 'user:partners|carla' },
    ]);
    expect(await them.records('account.changed')).toMatchObject([
      { principal: 'user:partners|carla', status: 'disabled', before: 'active', subject: null },
    ]);
    them.configure();
  });

  it('has one effect however often it comes, and the same answer', async () => {
    const event = them.claims(`${CAEP}session-revoked`, them.user('petra'), { iat: seconds() - 5 });
    const set = await them.sign(event);
    expect(await them.push(set)).toMatchObject({ status: 202 });
    const after = await them.app.token('petra');
    const again = await them.sign({ ...event, iat: seconds() + 30 });
    expect([(await them.push(set)).status, (await them.push(again)).status]).toEqual([202, 202]);
    expect(await ask(after)).toEqual([200, undefined]);
    expect(await them.recordsOf('signal.received', event)).toHaveLength(1);
  });

  it('about nobody known gets the same answer, and is recorded', async () => {
    const event = them.claims(`${RISC}account-disabled`, them.user('nobody-at-all'));
    expect(await them.push(await them.sign(event))).toMatchObject({ status: 202, json: undefined });
    expect(await them.recordsOf('signal.received', event)).toMatchObject([
      { effect: 'disable', about: 'user:workforce|nobody-at-all' },
    ]);
  });

  it('only verifies the stream, or says that it stops, which is an alert', async () => {
    const stream = { format: 'opaque', id: 'stream-1' };
    const verification = them.claims(`${SSF}verification`, stream, {
      events: { [`${SSF}verification`]: { state: 'asked-today' } },
    });
    expect(await them.send(verification)).toBe(202);
    expect(await them.recordsOf('signal.received', verification)).toMatchObject([
      { event: 'ssf/verification', effect: 'noted', note: 'asked-today' },
    ]);
    const paused = them.claims(`${SSF}stream-updated`, stream, {
      events: { [`${SSF}stream-updated`]: { status: 'paused' } },
    });
    expect(await them.send(paused)).toBe(202);
    expect(await them.recordsOf('alert.signals_stopped', paused)).toMatchObject([{ note: 'paused' }]);
    expect(await them.revocations()).not.toContainEqual(
      expect.objectContaining({ id: 'workforce|stream-1' }),
    );
  });
});

describe('A delivery', () => {
  const event = () => them.sign(them.claims(`${CAEP}session-revoked`, them.user('petra')));

  it('of another media type is refused', async () => {
    expect(await them.push(await event(), { 'content-type': 'application/jwt' })).toMatchObject({
      status: 415,
    });
  });

  it('of a megabyte is refused before it is read', async () => {
    expect(await them.push('x'.repeat(1_000_000))).toMatchObject({
      status: 413,
      json: { code: 'payload_too_large' },
    });
  });

  it('has no other method, and no path under /v1', async () => {
    expect((await fetch(`${them.app.url}/security-events`)).status).toBe(405);
    expect(
      (await fetch(`${them.app.url}/v1/security-events`, { method: 'POST', body: await event() })).status,
    ).toBe(401);
  });

  it('has to come again while the keys of its transmitter cannot be had, and then has its effect', async () => {
    const down = await serveKeys(500, {});
    them.configure({ jwksUri: down.url });
    const payload = them.claims(`${CAEP}session-revoked`, them.user('late'));
    const answer = await them.push(await them.sign(payload));
    expect(answer).toMatchObject({ status: 503, json: { code: 'identity_unavailable' } });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await them.recordsOf('signal.received', payload)).toEqual([]);
    down.close();
    them.configure();
    expect(await them.push(await them.sign(payload))).toMatchObject({ status: 202 });
    expect(await them.recordsOf('signal.received', payload)).toHaveLength(1);
  });

  it('finds nothing where no stream is configured', async () => {
    const bare = await openTestApp();
    const response = await fetch(`${bare.url}/security-events`, {
      method: 'POST',
      body: await event(),
      headers: { 'content-type': 'application/secevent+jwt' },
    });
    expect(response.status).toBe(404);
    await bare.close();
  });
});

describe('The database', () => {
  const calls = [
    sql`select bulkhead.disable_on_signal('user:workforce|anna')`,
    sql`select bulkhead.take_security_event('t', 'j', now(), now())`,
    sql`select bulkhead.revoke_on_signal('user', 'workforce|anna', 'r', null)`,
  ];
  const REFUSED = { sqlState: '42501' };

  it('lets nobody who is somebody, and no other role, do what events do', async () => {
    const { database, admin } = them.app.store;
    for (const call of calls) {
      const asPerson = database.unitOfWork('admin', admin.context, (trx) => call.execute(trx));
      await expect(asPerson).rejects.toMatchObject(REFUSED);
      for (const role of ['retrieve', 'ingest', 'audit', 'indexer'] as const)
        await expect(database.unitOfWork(role, undefined, (trx) => call.execute(trx))).rejects.toMatchObject(
          REFUSED,
        );
    }
  });

  it('shows the ids of events to no role, and gives the receiver no way to enable an account', async () => {
    const { database, tenant } = them.app.store;
    const context = nobodyIn(tenant);
    const read = database.unitOfWork('admin', context, (trx) =>
      sql`select jti from bulkhead.security_event`.execute(trx),
    );
    await expect(read).rejects.toMatchObject(REFUSED);
    const enabled = await database.unitOfWork('admin', context, (trx) =>
      sql`update bulkhead.directory_account set status = 'active' returning 1`.execute(trx),
    );
    expect(enabled.rows).toEqual([]);
  });

  it('forgets the ids of events whose age refuses them', async () => {
    const kept = () =>
      asSuperuser<{ jti: string }>(them.app.store.database, 'select jti from security_event order by jti');
    expect((await kept()).length).toBeGreaterThan(1);
    const later = Date.now() + 3 * 86_400_000;
    them.configure({ now: () => later });
    const event = them.claims(`${CAEP}session-revoked`, them.user('petra'), {
      iat: Math.floor(later / 1000),
    });
    expect(await them.send(event)).toBe(202);
    expect(await kept()).toEqual([{ jti: event.jti }]);
  });
});
