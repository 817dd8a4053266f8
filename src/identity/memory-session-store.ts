import type {
  EndedSession,
  NewSession,
  ProviderLogout,
  SessionKind,
  SessionStore,
} from '../store/session-store.ts';

/** The time of a use is kept to the minute, as in the database. */
const USE_MS = 60_000;
const ROOM = 10_000;

interface Held extends NewSession {
  readonly version: number;
  readonly usedAt: number;
  readonly leasedUntil: number;
}

/** Sessions of one process, gone with it: for an installation without a server that others could share. */
export class MemorySessionStore implements SessionStore {
  // a Map keeps insertion order; a session is put in again when its use is noted, so the first is used longest ago
  readonly #sessions = new Map<string, Held>();
  readonly #used = new Map<string, number>();

  async add(session: NewSession): Promise<void> {
    const key = keyOf(session.id);
    this.#sessions.set(key, { ...session, version: 1, usedAt: session.createdAt, leasedUntil: 0 });
    const kin = [...this.#sessions].filter(([, { kind }]) => kind === session.kind);
    for (const [old, { endsAt }] of kin) if (endsAt <= session.createdAt) this.#sessions.delete(old);
    for (const [old] of kin.slice(0, Math.max(0, kin.length - (session.most ?? ROOM))))
      this.#sessions.delete(old);
  }

  async find(kind: SessionKind, id: Uint8Array, now: number, idleMs: number) {
    const key = keyOf(id);
    const held = this.#sessions.get(key);
    if (held?.kind !== kind) return undefined;
    if (now >= held.endsAt || now - held.usedAt >= idleMs) {
      this.#sessions.delete(key);
      return undefined;
    }
    if (now - held.usedAt >= USE_MS) {
      this.#sessions.delete(key);
      this.#sessions.set(key, { ...held, usedAt: now });
    }
    return { sealed: held.sealed, version: held.version, createdAt: held.createdAt };
  }

  async replace(id: Uint8Array, version: number, sealed: Uint8Array): Promise<boolean> {
    return this.#change(id, version, (held) => ({ ...held, sealed, version: version + 1 }));
  }

  async lease(id: Uint8Array, version: number, now: number, until: number): Promise<boolean> {
    return this.#change(id, version, (held) =>
      held.leasedUntil <= now ? { ...held, leasedUntil: until } : undefined,
    );
  }

  async release(id: Uint8Array): Promise<void> {
    const held = this.#sessions.get(keyOf(id));
    if (held !== undefined) this.#sessions.set(keyOf(id), { ...held, leasedUntil: 0 });
  }

  async remove(id: Uint8Array): Promise<boolean> {
    return this.#sessions.delete(keyOf(id)) || this.#used.delete(keyOf(id));
  }

  async useOnce(id: Uint8Array, now: number, until: number): Promise<boolean> {
    for (const [key, end] of this.#used) if (end <= now) this.#used.delete(key);
    const key = keyOf(id);
    if (this.#used.has(key)) return false;
    this.#used.set(key, until);
    return true;
  }

  async endAtProvider(logout: ProviderLogout): Promise<readonly EndedSession[]> {
    const ended: EndedSession[] = [];
    for (const [key, { owner }] of this.#sessions) {
      if (owner === undefined || !isOf(owner, logout)) continue;
      this.#sessions.delete(key);
      const { tenant, principal, session } = owner;
      ended.push({ tenant, principal, session });
    }
    return ended;
  }

  #change(id: Uint8Array, version: number, change: (held: Held) => Held | undefined): boolean {
    const key = keyOf(id);
    const held = this.#sessions.get(key);
    if (held?.kind !== 'session' || held.version !== version) return false;
    const changed = change(held);
    if (changed !== undefined) this.#sessions.set(key, changed);
    return changed !== undefined;
  }
}

function isOf(
  owner: NonNullable<NewSession['owner']>,
  { issuer, subject, session }: ProviderLogout,
): boolean {
  if (subject === undefined && session === undefined) return false;
  return (
    owner.issuer === issuer &&
    (subject === undefined || owner.subject === subject) &&
    (session === undefined || owner.session === session)
  );
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id).toString('base64url');
}
