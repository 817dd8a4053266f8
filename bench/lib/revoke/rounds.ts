/** Callers who ask without a pause, one of whose rights or credentials is revoked meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ISSUER } from '../dealing.ts';
import { CONTAINERS, exchange, TEAM, type World } from './world.ts';

export const KINDS = ['grant', 'membership', 'user', 'session', 'key', 'client'] as const;
export type Kind = (typeof KINDS)[number];

export interface Round {
  readonly kind: Kind;
  /** The principal that asked, as receipts name it. */
  readonly subject: string;
  /** The request that revoked, as the log names it. */
  readonly revoking: string;
  /** Whose passages nobody is to see after it; absent where it is nothing at all. */
  readonly container: string | undefined;
  readonly requests: number;
  /** How they were answered, by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Milliseconds, from its sending to its answer. */
  readonly revocationMs: number;
}

interface Reader {
  readonly subject: string;
  readonly credential: string;
  readonly container: string | undefined;
  /** The id of the request that did it. */
  readonly revoke: () => Promise<string>;
}

/** @param turn a number that no other round of the kind has: nobody is revoked twice */
export async function runRound(
  world: World,
  kind: Kind,
  turn: number,
  { requests, callers }: { readonly requests: number; readonly callers: number },
): Promise<Round> {
  const reader = await READERS[kind](world, `${kind}-${turn}`);
  const statuses = new Map<number, number>();
  let asked = 0;
  let answered = 0;
  const ask = async (): Promise<void> => {
    while (asked < requests) {
      asked += 1;
      const query = world.questions[asked % world.questions.length] ?? '';
      const { status } = await exchange(
        world.url,
        'POST',
        '/v1/retrieve',
        { authorization: `Bearer ${reader.credential}` },
        { query, limit: 20 },
      );
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      answered += 1;
    }
  };
  const asking = Promise.all(Array.from({ length: callers }, ask));
  // while the others are under way or still to come, at whatever point of an answer that is
  const midway = async () => {
    while (answered < requests / 3) await sleep(1);
  };
  await Promise.race([asking, midway()]);
  const began = performance.now();
  const revoking = await reader.revoke();
  const revocationMs = performance.now() - began;
  await asking;
  const { subject, container } = reader;
  return { kind, subject, revoking, container, requests: asked, statuses, revocationMs };
}

const READERS: Readonly<Record<Kind, (world: World, name: string) => Promise<Reader>>> = {
  grant: async (world, name) => {
    const { subject, credential } = await newPerson(world, name);
    const entries = `/v1/containers/${encodeURIComponent(CONTAINERS.grant)}/entries`;
    const granted = await world.administer('POST', entries, { allow: subject });
    const id = String(granted.json.id);
    return {
      subject,
      credential,
      container: CONTAINERS.grant,
      revoke: () => changeAs(world, 'DELETE', `/v1/entries/${id}`),
    };
  },
  membership: async (world, name) => {
    const { subject, credential } = await newPerson(world, name);
    const members = `/v1/principals/${encodeURIComponent(TEAM)}/members`;
    await world.administer('POST', members, { member: subject });
    return {
      subject,
      credential,
      container: CONTAINERS.membership,
      revoke: () => changeAs(world, 'DELETE', `${members}/${encodeURIComponent(subject)}`),
    };
  },
  user: async (world, name) => revocable(world, await newPerson(world, name), 'user', `${ISSUER}|${name}`),
  session: async (world, name) => {
    const person = await newPerson(world, name, { sid: `session-of-${name}` });
    return revocable(world, person, 'session', `${ISSUER}|session-of-${name}`);
  },
  client: async (world, name) => {
    const person = await newPerson(world, name, { client_id: `client-of-${name}` });
    return revocable(world, person, 'client', `${ISSUER}|client-of-${name}`);
  },
  key: async (world, name) => {
    const service = `service:${ISSUER}|${name}`;
    await addPrincipal(world, service, name);
    const { json } = await world.administer('POST', '/v1/api-keys', { service, name, rights: ['read'] });
    return revocable(world, { subject: service, credential: String(json.key) }, 'key', `key|${json.id}`);
  },
};

async function newPerson(world: World, name: string, claims: Readonly<Record<string, unknown>> = {}) {
  const subject = `user:${ISSUER}|${name}`;
  await addPrincipal(world, subject, name);
  return { subject, credential: await world.issuer.token(name, claims) };
}

async function addPrincipal({ administer }: World, principal: string, name: string): Promise<void> {
  await administer('POST', '/v1/principals', { principal, display_name: name });
  const clearances = `/v1/principals/${encodeURIComponent(principal)}/clearances`;
  await administer('POST', clearances, { level: 'public', compartments: [] });
}

function revocable(
  world: World,
  { subject, credential }: Pick<Reader, 'subject' | 'credential'>,
  kind: Kind,
  id: string,
): Reader {
  const revoke = () => changeAs(world, 'POST', '/v1/revocations', { kind, id, reason: 'measured' });
  return { subject, credential, container: undefined, revoke };
}

async function changeAs(world: World, method: string, path: string, body?: object): Promise<string> {
  return (await world.administer(method, path, body)).requestId;
}
