/** What every store of sessions does, whoever keeps the rows. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NewSession, SessionOwner, SessionStore } from '../../src/store/session-store.ts';

const MINUTE = 60_000;
const IDLE = 30 * MINUTE;
const START = Date.parse('2026-11-21T09:00:00Z');

export interface TestSessionStore {
  readonly store: SessionStore;
  /** Of a tenant that is there. */
  readonly tenant: string;
  close(): Promise<void>;
}

export function sessionStoreContract(name: string, open: () => Promise<TestSessionStore>): void {
  let test: TestSessionStore;
  let store: SessionStore;
  beforeAll(async () => {
    test = await open();
    store = test.store;
  });
  afterAll(() => test.close());

  const ownerOf = (changes: Partial<SessionOwner> = {}): SessionOwner => ({
    tenant: test.tenant,
    issuer: 'workforce',
    subject: 'anna',
    session: 's-1',
    principal: 'user:workforce|anna',
    ...changes,
  });
  const newSession = (changes: Partial<NewSession> = {}): NewSession => ({
    kind: 'session',
    id: randomBytes(32),
    sealed: randomBytes(100),
    owner: ownerOf(),
    createdAt: START,
    endsAt: START + 480 * MINUTE,
    most: undefined,
    ...changes,
  });
  const add = async (changes: Partial<NewSession> = {}) => {
    const session = newSession(changes);
    await store.add(session);
    return session;
  };
  const isThere = async ({ id, kind }: NewSession, now = START) =>
    (await store.find(kind, id, now, IDLE)) !== undefined;

  describe(`a session kept ${name}`, () => {
    it('is found as it was stored, by its id and kind alone', async () => {
      const session = await add();
      const found = await store.find('session', session.id, START, IDLE);
      expect(found && Buffer.from(found.sealed)).toEqual(Buffer.from(session.sealed));
      expect(found).toMatchObject({ version: 1, createdAt: START });
      expect(await store.find('sign-in', session.id, START, IDLE)).toBeUndefined();
      expect(await store.find('session', randomBytes(32), START, IDLE)).toBeUndefined();
    });

    it('ends when it was idle for too long, and does not come back', async () => {
      const session = await add();
      expect(await isThere(session, START + IDLE - 1)).toBe(true);
      expect(await isThere(session, START + 2 * IDLE - 1)).toBe(false);
      expect(await isThere(session, START)).toBe(false);
    });

    it('has its use noted once a minute', async () => {
      const session = await add();
      await isThere(session, START + MINUTE - 1);
      expect(await isThere(session, START + IDLE)).toBe(false);
      const other = await add();
      await isThere(other, START + MINUTE);
      expect(await isThere(other, START + IDLE)).toBe(true);
    });

    it('ends in the end, however busy', async () => {
      const session = await add({ endsAt: START + 60 * MINUTE });
      for (let minute = 0; minute < 60; minute += 10)
        expect(await isThere(session, START + minute * MINUTE)).toBe(true);
      expect(await isThere(session, START + 60 * MINUTE)).toBe(false);
    });

    it('is changed only by who read its last version', async () => {
      const { id } = await add();
      expect(await store.replace(id, 1, Buffer.from('two'))).toBe(true);
      expect(await store.replace(id, 1, Buffer.from('lost'))).toBe(false);
      const found = await store.find('session', id, START, IDLE);
      expect(Buffer.from(found?.sealed ?? '').toString()).toBe('two');
      expect(found?.version).toBe(2);
      expect(await store.replace(randomBytes(32), 1, Buffer.from('x'))).toBe(false);
    });

    it('is changed by one of many at once', async () => {
      const { id } = await add();
      const won = await Promise.all(
        Array.from({ length: 10 }, (_, i) => store.replace(id, 1, Buffer.from(String(i)))),
      );
      expect(won.filter(Boolean)).toHaveLength(1);
    });

    it('is leased to one at a time, and again when the lease is over or the version another', async () => {
      const { id } = await add();
      const lease = (version: number, now: number) => store.lease(id, version, now, now + MINUTE);
      const won = await Promise.all(Array.from({ length: 5 }, () => lease(1, START)));
      expect(won.filter(Boolean)).toHaveLength(1);
      expect(await lease(1, START + MINUTE - 1)).toBe(false);
      expect(await lease(2, START + MINUTE)).toBe(false);
      expect(await lease(1, START + MINUTE)).toBe(true);
      await store.release(id);
      expect(await lease(1, START + MINUTE)).toBe(true);
    });

    it('is taken away once', async () => {
      const session = await add();
      const removed = await Promise.all(Array.from({ length: 5 }, () => store.remove(session.id)));
      expect(removed.filter(Boolean)).toHaveLength(1);
      expect(await isThere(session)).toBe(false);
    });

    it('of a browser that nobody knows needs no owner', async () => {
      const pending = await add({ kind: 'sign-in', owner: undefined });
      expect(await isThere(pending)).toBe(true);
    });
  });

  describe(`sessions kept ${name}`, () => {
    it('give way, those used longest ago first, when there are too many of their kind', async () => {
      const begun: NewSession[] = [];
      for (let i = 0; i < 5; i++)
        begun.push(await add({ kind: 'sign-in', owner: undefined, createdAt: START + i * MINUTE, most: 3 }));
      const there = await Promise.all(begun.map((session) => isThere(session, START + 5 * MINUTE)));
      expect(there).toEqual([false, false, true, true, true]);
    });

    it('of people do not give way to sign-ins of strangers', async () => {
      const session = await add();
      for (let i = 0; i < 4; i++) await add({ kind: 'sign-in', owner: undefined, most: 2 });
      expect(await isThere(session)).toBe(true);
    });

    it('that a provider names by its session end, and no others', async () => {
      const one = await add({ owner: ownerOf({ session: 'end-1' }) });
      const other = await add({ owner: ownerOf({ session: 'end-2' }) });
      const elsewhere = await add({ owner: ownerOf({ session: 'end-1', issuer: 'partners' }) });
      const ended = await store.endAtProvider({
        issuer: 'workforce',
        subject: undefined,
        session: 'end-1',
      });
      expect(ended).toEqual([{ tenant: test.tenant, principal: 'user:workforce|anna', session: 'end-1' }]);
      expect(await Promise.all([one, other, elsewhere].map((session) => isThere(session)))).toEqual([
        false,
        true,
        true,
      ]);
    });

    it('end by subject, all of them', async () => {
      const tom = { subject: 'tom', principal: 'user:workforce|tom' };
      const both = [
        await add({ owner: ownerOf({ ...tom, session: 't-1' }) }),
        await add({ owner: ownerOf({ ...tom, session: undefined }) }),
      ];
      const anna = await add();
      const ended = await store.endAtProvider({ issuer: 'workforce', subject: 'tom', session: undefined });
      expect(ended.map(({ session }) => session).sort()).toEqual(['t-1', undefined]);
      expect(await Promise.all([...both, anna].map((session) => isThere(session)))).toEqual([
        false,
        false,
        true,
      ]);
    });

    it('do not end by a session that is somebody else’s', async () => {
      const session = await add({ owner: ownerOf({ session: 'mine' }) });
      const wrong = { issuer: 'workforce', subject: 'somebody else', session: 'mine' };
      expect(await store.endAtProvider(wrong)).toEqual([]);
      expect(await isThere(session)).toBe(true);
    });

    it('remember that something was used, until then', async () => {
      const id = randomBytes(32);
      const used = await Promise.all(
        Array.from({ length: 5 }, () => store.useOnce(id, START, START + MINUTE)),
      );
      expect(used.filter(Boolean)).toHaveLength(1);
      expect(await store.useOnce(id, START + 1, START + MINUTE)).toBe(false);
      expect(await store.remove(id)).toBe(true);
      expect(await store.useOnce(id, START + 1, START + MINUTE)).toBe(true);
    });
  });
}
