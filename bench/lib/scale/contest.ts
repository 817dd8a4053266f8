/** The contestants, each a server in a process of its own, asked alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ServerProcess, startServer } from '../server-process.ts';
import { startIssuer, type TokenIssuer } from '../token-issuer.ts';
import { type Asked, ask } from './asking.ts';
import type { DataSet } from './data-set.ts';
import { TENANT } from './load-tenant.ts';
import { type OpenFga, openFgaBinary, startOpenFga } from './openfga.ts';
import { type Rival, startRival } from './rival-process.ts';

export type ContestantName = 'unprotected' | 'bulkhead' | 'post-filter' | 'bare';

export const LIMIT = 10;
const SETTLE_MS = 3_000;

export interface Contestant {
  readonly name: ContestantName;
  ask(caller: string, query: string): Promise<Asked>;
}

export interface Contest {
  readonly contestants: ReadonlyMap<ContestantName, Contestant>;
  /** What answered the checks of the third: OpenFGA and its version, or memory. */
  readonly checker: string;
  readonly server: ServerProcess;
  close(): Promise<void>;
}

/** Bulkhead as people start it, with an issuer of its own. */
export interface BulkheadServer {
  readonly server: ServerProcess;
  readonly contestant: Contestant;
  close(): Promise<void>;
}

export async function startBulkhead(
  { stores }: DataSet,
  environment: Readonly<Record<string, string>> = {},
): Promise<BulkheadServer> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-server-'));
  const issuer = await startIssuer(TENANT, folder);
  const server = await startServer({
    BULKHEAD_DATA: join(folder, 'data'),
    BULKHEAD_CONFIG: issuer.configFile,
    DATABASE_URL: stores.databaseUrl,
    QDRANT_URL: stores.qdrantUrl,
    ...(stores.qdrantKey !== undefined && { QDRANT_API_KEY: stores.qdrantKey }),
    ...environment,
  });
  const contestant = bulkhead(server, issuer);
  // what the planner counts, it counts beside the first question
  await contestant.ask('all', 'the first question');
  await sleep(SETTLE_MS);
  return {
    server,
    contestant,
    close: async () => {
      await server.stop();
      issuer.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function bulkhead({ url }: ServerProcess, issuer: TokenIssuer): Contestant {
  const tokens = new Map<string, Promise<string>>();
  const tokenOf = (caller: string) => {
    const token = tokens.get(caller) ?? issuer.token(caller);
    tokens.set(caller, token);
    return token;
  };
  return {
    name: 'bulkhead',
    ask: async (caller, query) =>
      ask(
        `${url}/v1/retrieve`,
        { authorization: `Bearer ${await tokenOf(caller)}` },
        { query, limit: LIMIT },
      ),
  };
}

/** @param searchesFile what `bare` makes again */
export async function openContest(data: DataSet, searchesFile: string): Promise<Contest> {
  const openFga = await openFgaOf(data);
  const { spec, stores } = data;
  const { databaseUrl, qdrantUrl, qdrantKey } = stores;
  const kinds = ['unprotected', 'post-filter', 'bare'] as const;
  const rivals: { readonly kind: (typeof kinds)[number]; readonly rival: Rival }[] = [];
  for (const kind of kinds) {
    const options = { kind, spec, databaseUrl, qdrantUrl, qdrantKey, openFga, searchesFile };
    rivals.push({ kind, rival: await startRival(options) });
  }
  const product = await startBulkhead(data);
  const contestants = [
    product.contestant,
    ...rivals.map(
      ({ kind, rival }): Contestant => ({
        name: kind,
        ask: (caller, query) => ask(`${rival.url}/search`, {}, { caller, query, limit: LIMIT }),
      }),
    ),
  ];
  return {
    contestants: new Map(contestants.map((contestant) => [contestant.name, contestant])),
    checker: openFga === undefined ? 'memory' : `OpenFGA ${openFga.version}`,
    server: product.server,
    close: async () => {
      await product.close();
      await Promise.all(rivals.map(({ rival }) => rival.stop()));
      await openFga?.stop();
    },
  };
}

async function openFgaOf({ key, stores, client, layout, policy }: DataSet): Promise<OpenFga | undefined> {
  const binary = openFgaBinary();
  if (binary === undefined) {
    console.error(
      'There is no OpenFGA (OPENFGA_BINARY, or openfga on the PATH): checks are looked up in memory at no cost, the best case for the rival.',
    );
    return undefined;
  }
  return startOpenFga(binary, key, stores.databaseUrl, client, layout, policy);
}
