/** A server as people start it, on PostgreSQL, with what the rounds revoke. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initTenant } from '../../../src/assembly/init.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { migratePostgres } from '../../../src/store/open-postgres.ts';
import { type PostgresServer, startPostgres } from '../../../test/helpers/postgres-server.ts';
import { ISSUER } from '../dealing.ts';
import { startServer } from '../server-process.ts';
import { sourceTexts } from '../source-texts.ts';
import { documentsFrom, questionsFrom } from '../spine-folder.ts';
import { startIssuer, type TokenIssuer } from '../token-issuer.ts';

const TENANT = 'bench';
const ADMINISTRATOR = 'administrator';
const SECOND = 'second';
const SEED = 11;
/** Of each container: one that everybody reads, one by entries, one by a group. */
const DOCUMENTS = 60;
const FEW = 20;
export const CONTAINERS = { open: '/open', grant: '/granted', membership: '/team' } as const;
export const TEAM = `group:${ISSUER}|team`;
const NEVER_MET = { points: 1_000_000_000 };
/** The bench is one address, and asks as much as it can. */
const LIMITS = {
  address: NEVER_MET,
  subject: NEVER_MET,
  actor: NEVER_MET,
  client: NEVER_MET,
  key: NEVER_MET,
  cost: NEVER_MET,
  failures: NEVER_MET,
};

export interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
  readonly requestId: string;
}

export interface World {
  readonly url: string;
  readonly issuer: TokenIssuer;
  readonly questions: readonly string[];
  /** Of the database, as its superuser. */
  readonly databaseUrl: string;
  /** As the administrator. @throws Error for what is not done */
  readonly administer: (method: string, path: string, body?: object) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

/** @param bin where the programs of PostgreSQL are */
export async function openWorld(bin: string): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-revoke-'));
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const close = async () => {
    for (const end of closing.reverse()) await end();
  };
  try {
    const postgres = await startPostgres(bin, { settings: { fsync: 'on' } });
    const kill = () => postgres.signal('SIGQUIT');
    process.once('exit', kill);
    closing.push(() => postgres.stop().finally(() => process.off('exit', kill)));
    const issuer = await startIssuer(TENANT, folder, { limits: LIMITS });
    closing.push(() => issuer.close());
    const { server, databaseUrl } = await serve(postgres, issuer, folder);
    closing.push(() => server.stop());
    const administer = administrating(server.url, issuer, ADMINISTRATOR);
    await clearAdministrator(administer, administrating(server.url, issuer, SECOND));
    await fill(administer);
    const questions = questionsFrom(sourceTexts(), 200, SEED);
    return { url: server.url, issuer, questions, databaseUrl, administer, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function serve(postgres: PostgresServer, { configFile }: TokenIssuer, folder: string) {
  const databaseUrl = (await postgres.createDatabase())();
  const environment = {
    BULKHEAD_CONFIG: configFile,
    BULKHEAD_DATA: join(folder, 'data'),
    BULKHEAD_DEMO: 'false',
    BULKHEAD_INGEST_WORKERS: '1',
    DATABASE_URL: databaseUrl,
  };
  const connection = { url: databaseUrl, password: undefined, ca: undefined, production: false };
  await migratePostgres({ ...connection, withVectorIndex: true });
  const first = { tenant: TENANT, issuer: ISSUER, account: ADMINISTRATOR, displayName: 'Administrator' };
  await initTenant(loadConfig(environment), first);
  return { server: await startServer(environment), databaseUrl };
}

function administrating(url: string, issuer: TokenIssuer, account: string): World['administer'] {
  return async (method, path, body) => {
    const headers = { authorization: `Bearer ${await issuer.token(account)}` };
    const answer = await exchange(url, method, path, headers, body);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(answer.json)}`);
    return answer;
  };
}

export async function exchange(
  url: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: object,
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const requestId = response.headers.get('x-request-id') ?? '';
  return { status: response.status, json: text === '' ? {} : JSON.parse(text), requestId };
}

/** Nobody makes a key that reads more than they do, and nobody clears themselves. */
async function clearAdministrator(first: World['administer'], second: World['administer']): Promise<void> {
  const principal = `user:${ISSUER}|${SECOND}`;
  await first('POST', '/v1/principals', { principal, display_name: 'Second administrator' });
  await first('POST', '/v1/containers/%2F/roles', { principal, right: 'administer' });
  const clearances = `/v1/principals/${encodeURIComponent(`user:${ISSUER}|${ADMINISTRATOR}`)}/clearances`;
  await second('POST', clearances, { level: 'public', compartments: [] });
}

async function fill(administer: World['administer']): Promise<void> {
  await administer('POST', '/v1/principals', { principal: TEAM, display_name: 'Team' });
  const entries = { open: [{ allow: 'everyone' }], grant: [], membership: [{ allow: TEAM }] };
  for (const [name, path] of Object.entries(CONTAINERS))
    await administer('POST', '/v1/containers', { path, entries: entries[name as keyof typeof entries] });
  const documents = documentsFrom(sourceTexts(), DOCUMENTS + 2 * FEW, SEED);
  for (const [i, { id, title, text }] of documents.entries()) {
    const container =
      i < DOCUMENTS ? CONTAINERS.open : i % 2 === 0 ? CONTAINERS.grant : CONTAINERS.membership;
    const body = { container, external_id: id, title, media_type: 'text/plain', text };
    await administer('POST', '/v1/documents', body);
  }
}
