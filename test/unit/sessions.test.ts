import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemorySessionStore } from '../../src/identity/memory-session-store.ts';
import { checkCsrf, createSessions, type Sessions } from '../../src/identity/sessions.ts';
import type { SessionStore } from '../../src/store/session-store.ts';

const MINUTE = 60_000;
const OWNER = { tenant: 'm', issuer: 'w', subject: 'anna', session: 's', principal: 'user:w|anna' };
let now: number;
let store: SessionStore;
let sessions: Sessions<{ readonly name: string; readonly asked: number }>;

function open(random: (size: number) => Uint8Array = randomBytes) {
  return createSessions<{ readonly name: string; readonly asked: number }>({
    store,
    kind: 'session',
    now: () => now,
    randomBytes: random,
    idleMs: 30 * MINUTE,
    absoluteMs: 480 * MINUTE,
  });
}

beforeEach(() => {
  now = 1_000_000;
  store = new MemorySessionStore();
  sessions = open();
});

const create = (name = 'anna') => sessions.create({ name, asked: 0 }, OWNER);

describe('a session', () => {
  it('has an id and a form token of 256 bits, both different', async () => {
    const session = await create();
    expect(session.id).toMatch(/^[\w-]{43}$/);
    expect(session.csrfToken).toMatch(/^[\w-]{43}$/);
    expect(session.csrfToken).not.toBe(session.id);
    const found = await sessions.find(session.id);
    expect(found).toEqual(session);
  });

  it('takes its randomness from what it is given', async () => {
    const fixed = open((size) => new Uint8Array(size).fill(1));
    const { id } = await fixed.create({ name: 'anna', asked: 0 }, OWNER);
    expect(id).toBe(Buffer.alloc(32, 1).toString('base64url'));
  });

  it('ends after thirty idle minutes', async () => {
    const { id } = await create();
    now += 30 * MINUTE - 1;
    expect(await sessions.find(id)).toBeDefined();
    now += 30 * MINUTE;
    expect(await sessions.find(id)).toBeUndefined();
  });

  it('ends after eight hours, however busy', async () => {
    const { id } = await create();
    for (let used = 0; used < 8 * 60 - 10; used += 10) {
      now += 10 * MINUTE;
      expect(await sessions.find(id)).toBeDefined();
    }
    now += 10 * MINUTE;
    expect(await sessions.find(id)).toBeUndefined();
  });

  it('gets a new id and form token when it is rotated, and the old id is worth nothing', async () => {
    const before = await create('stranger');
    const after = await sessions.rotate(before.id, { name: 'anna', asked: 0 }, OWNER);
    expect(await sessions.find(before.id)).toBeUndefined();
    expect((await sessions.find(after.id))?.data.name).toBe('anna');
    expect(after.id).not.toBe(before.id);
    expect(after.csrfToken).not.toBe(before.csrfToken);
  });

  it('can be ended', async () => {
    const { id } = await create();
    await sessions.end(id);
    expect(await sessions.find(id)).toBeUndefined();
  });

  it('is taken by one of many', async () => {
    const { id } = await create();
    const taken = await Promise.all(Array.from({ length: 5 }, () => sessions.take(id)));
    expect(taken.filter((session) => session !== undefined)).toHaveLength(1);
  });

  it('loses no change of several at once', async () => {
    const { id } = await create();
    const more = () => sessions.update(id, (data) => ({ ...data, asked: data.asked + 1 }));
    await Promise.all([more(), more(), more()]);
    expect((await sessions.find(id))?.data.asked).toBe(3);
  });

  it('that has ended takes no change', async () => {
    const { id } = await create();
    await sessions.end(id);
    expect(await sessions.update(id, (data) => data)).toBeUndefined();
  });

  it.each(['', 'x', `${'A'.repeat(43)}=`, '../../etc/passwd', 'A'.repeat(10_000)])(
    'is not even looked for by the id %.12s',
    async (id) => {
      const asked: unknown[] = [];
      store.find = async (...given) => void asked.push(given);
      store.remove = async (...given) => asked.push(given) > 0;
      expect(await sessions.find(id)).toBeUndefined();
      expect(await sessions.take(id)).toBeUndefined();
      await sessions.end(id);
      expect(asked).toEqual([]);
    },
  );

  it('whose stored content was changed is none', async () => {
    const { id, version } = await create();
    const hash = (await import('node:crypto')).createHash('sha256').update(id).digest();
    const stored = await store.find('session', hash, now, MINUTE);
    const changed = Buffer.from(stored?.sealed ?? []);
    changed[20] = (changed[20] ?? 0) ^ 1;
    await store.replace(hash, version, changed);
    expect(await sessions.find(id)).toBeUndefined();
  });
});

describe('a form', () => {
  it('is accepted with the token of its session', async () => {
    const session = await create();
    expect(() => checkCsrf(session, session.csrfToken)).not.toThrow();
  });

  it.each([undefined, '', 'x', 'A'.repeat(43)])('is refused with the token %s', async (token) => {
    const session = await create();
    expect(() => checkCsrf(session, token)).toThrow(/csrf/);
  });
});
