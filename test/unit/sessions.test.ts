import { beforeEach, describe, expect, it } from 'vitest';
import { checkCsrf, createSessionStore, type SessionStore } from '../../src/identity/sessions.ts';

const MINUTE = 60_000;
let now: number;
let store: SessionStore<string>;

beforeEach(() => {
  now = 1_000_000;
  store = createSessionStore<string>({ now: () => now, maxSessions: 3 });
});

describe('a session', () => {
  it('has an id and a form token of 256 random bits, both different', () => {
    const session = store.create('anna');
    expect(session.id).toMatch(/^[\w-]{43}$/);
    expect(session.csrfToken).toMatch(/^[\w-]{43}$/);
    expect(session.csrfToken).not.toBe(session.id);
    expect(store.find(session.id)?.data).toBe('anna');
  });

  it('takes its randomness from what it is given', () => {
    let byte = 0;
    const fixed = createSessionStore({
      now: () => now,
      randomBytes: (size) => new Uint8Array(size).fill(++byte),
    });
    expect(fixed.create('anna').id).toBe(Buffer.alloc(32, 1).toString('base64url'));
  });

  it('ends after thirty idle minutes', () => {
    const { id } = store.create('anna');
    now += 30 * MINUTE - 1;
    expect(store.find(id)).toBeDefined();
    now += 30 * MINUTE;
    expect(store.find(id)).toBeUndefined();
    now -= 30 * MINUTE;
    expect(store.find(id)).toBeUndefined();
  });

  it('ends after eight hours, however busy', () => {
    const { id } = store.create('anna');
    for (let used = 0; used < 8 * 60 - 10; used += 10) {
      now += 10 * MINUTE;
      expect(store.find(id)).toBeDefined();
    }
    now += 10 * MINUTE;
    expect(store.find(id)).toBeUndefined();
  });

  it('gets a new id and form token when it is rotated, and the old id is worth nothing', () => {
    const before = store.create('stranger');
    const after = store.rotate(before.id, 'anna');
    expect(store.find(before.id)).toBeUndefined();
    expect(store.find(after.id)?.data).toBe('anna');
    expect(after.id).not.toBe(before.id);
    expect(after.csrfToken).not.toBe(before.csrfToken);
  });

  it('can be ended by itself or with all others of a user', () => {
    const [a, b, c] = [store.create('anna'), store.create('anna'), store.create('tom')];
    store.end(a.id);
    expect(store.find(a.id)).toBeUndefined();
    expect(store.endWhere((user) => user === 'anna')).toBe(1);
    expect(store.find(b.id)).toBeUndefined();
    expect(store.find(c.id)).toBeDefined();
  });

  it('that was idle longest gives way when the store is full', () => {
    const [a, b, c] = [store.create('a'), store.create('b'), store.create('c')];
    store.find(a.id);
    const d = store.create('d');
    expect([a, b, c, d].map(({ id }) => store.find(id)?.data)).toEqual(['a', undefined, 'c', 'd']);
  });
});

describe('a form', () => {
  it('is accepted with the token of its session', () => {
    const session = store.create('anna');
    expect(() => checkCsrf(session, session.csrfToken)).not.toThrow();
  });

  it.each([undefined, '', 'x', 'A'.repeat(43)])('is refused with the token %s', (token) => {
    expect(() => checkCsrf(store.create('anna'), token)).toThrow(/csrf/);
  });
});
