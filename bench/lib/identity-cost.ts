/** What it adds to a question to know who asks, and what they may read: beside embedding, with everything warm. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Core } from '../../src/assembly/core.ts';
import { loadConfig } from '../../src/config/config.ts';
import { toIdentity } from '../../src/http/authenticate.ts';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import { profileOf } from '../../src/identity/issuer-presets.ts';
import { MemoryReplayStore } from '../../src/identity/replay-store.ts';
import { createTokenVerifier } from '../../src/identity/verify-token.ts';
import { authorizeQuery } from '../../src/retrieve/1-authorize.ts';
import { embeddedQuestion } from './embedded-question.ts';
import { type Percentiles, percentiles } from './query-times.ts';
import { TENANT } from './spine-folder.ts';
import { startIssuer } from './token-issuer.ts';

export interface IdentityCost {
  /** Milliseconds: the question embedded and nothing else; and with the caller identified and authorized beside it. */
  readonly embedding: Percentiles;
  readonly both: Percentiles;
  /** Each by itself. */
  readonly authenticate: Percentiles;
  readonly authorize: Percentiles;
}

/** Every question both ways, in turn, the first way changing, as one caller whose token was seen before. */
export async function timeIdentity(core: Core, questions: readonly string[]): Promise<IdentityCost> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-identity-'));
  const issuer = await startIssuer(TENANT, folder);
  try {
    const { issuers } = loadConfig({ BULKHEAD_CONFIG: issuer.configFile });
    const tokens = createTokenVerifier(issuers.map(profileOf), { now: Date.now });
    const authenticator = createAuthenticator({ tokens, replays: new MemoryReplayStore(), now: Date.now });
    return await timeBoth(core, questions, authenticator, await issuer.token('all'));
  } finally {
    issuer.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function timeBoth(
  core: Core,
  questions: readonly string[],
  authenticator: ReturnType<typeof createAuthenticator>,
  token: string,
): Promise<IdentityCost> {
  const url = new URL('http://localhost/v1/retrieve');
  const authenticate = async () =>
    toIdentity(
      await authenticator.authenticate({ scheme: 'Bearer', token, method: 'POST', url, address: undefined }),
    );
  const authorize = async () => authorizeQuery(core.retrieve, await authenticate(), {});
  const prepare = (question: string) => embeddedQuestion(core.embedder, question);
  await authorize();
  const times = { embedding: [], both: [], authenticate: [], authorize: [] } as Record<
    keyof IdentityCost,
    number[]
  >;
  const timed = async (name: keyof IdentityCost, work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    times[name].push(performance.now() - began);
  };
  for (const [i, question] of questions.entries()) {
    const ways = [
      () => timed('embedding', () => prepare(question)),
      () => timed('both', () => Promise.all([authorize(), prepare(question)])),
    ];
    for (const way of i % 2 === 0 ? ways : ways.reverse()) await way();
    await timed('authenticate', authenticate);
    const identity = await authenticate();
    await timed('authorize', () => authorizeQuery(core.retrieve, identity, {}));
  }
  return {
    embedding: percentiles(times.embedding),
    both: percentiles(times.both),
    authenticate: percentiles(times.authenticate),
    authorize: percentiles(times.authorize),
  };
}
