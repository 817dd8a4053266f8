import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initTenant } from '../../src/assembly/init.ts';
import { type Bulkhead, type BulkheadOptions, openBulkhead } from '../../src/assembly/server.ts';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { migratePostgres, writePostgresLogins } from '../../src/store/open-postgres.ts';
import { PROCESS_ROLES, type ServiceRole } from '../../src/store/process-role.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { AUDIENCE, IssuerServer, newKey } from './identity-issuer.ts';

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of it
  readonly json: any;
}

/** One PostgreSQL database, and a process of each role on it (in this one), each with a login of its own. */
export interface RoleProcesses {
  /** @param name apart from its role, where there are two of one */
  config(role: ServiceRole, environment?: Readonly<Record<string, string>>, name?: string): Config;
  open(
    role: ServiceRole,
    environment?: Readonly<Record<string, string>>,
    name?: string,
    options?: BulkheadOptions,
  ): Promise<Bulkhead>;
  /** What an account gets from a process. */
  ask(process: Bulkhead, account: string, method: string, path: string, body?: object): Promise<Answer>;
  init(): Promise<void>;
  /** Address of the database as this login. */
  readonly url: (login?: string) => string;
  /** Whose tokens `ask` brings. */
  readonly issuer: IssuerServer;
  close(): Promise<void>;
}

export const ADMINISTRATOR = 'root';
const TENANT = 'meridian';

/** @param qdrant where the index is; absent = in the database */
export async function openRoleProcesses(
  url: (login?: string) => string,
  qdrant?: { readonly url: string; readonly key: string | undefined; readonly readKey: string | undefined },
): Promise<RoleProcesses> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-roles-'));
  const issuer = await IssuerServer.start();
  const key = await newKey('k1');
  issuer.published = [key];
  const file = join(folder, 'bulkhead.yaml');
  await writeFile(
    file,
    `issuers:\n  - { name: workforce, tenant: ${TENANT}, issuer: "${issuer.url}", jwksUri: "${issuer.url}/jwks", audience: "${AUDIENCE}", algorithms: [ES256] }\n`,
  );
  await mkdir(join(folder, 'data'));
  const server = {
    url: url(),
    password: undefined,
    ca: undefined,
    production: false,
    withVectorIndex: qdrant === undefined,
  };
  await migratePostgres(server);
  await writePostgresLogins(
    server,
    new Map([...PROCESS_ROLES, 'all' as const].map((role) => [role, 'a-password-of-a-test'])),
  );
  const readKeyFile = join(folder, 'read-key');
  await writeFile(readKeyFile, qdrant?.readKey ?? 'none');
  const index = (role: ServiceRole): Record<string, string> => {
    if (qdrant === undefined) return {};
    if (role === 'retrieve') return { QDRANT_URL: qdrant.url, QDRANT_READ_KEY_FILE: readKeyFile };
    return role === 'indexer' ? { QDRANT_URL: qdrant.url, QDRANT_API_KEY: qdrant.key ?? '' } : {};
  };
  const config: RoleProcesses['config'] = (role, environment = {}, name = role) =>
    loadConfig({
      BULKHEAD_ROLE: role,
      BULKHEAD_CONFIG: file,
      BULKHEAD_DATA: join(folder, 'data', name),
      BULKHEAD_WRITER: `${name}-test`,
      BULKHEAD_INGEST_WORKERS: '1',
      DATABASE_URL: url(`bulkhead_${role}_login`),
      DATABASE_POOL_SIZE: '3',
      PORT: '0',
      ...index(role),
      ...environment,
    });
  const opened: Bulkhead[] = [];
  return {
    url,
    issuer,
    config,
    open: async (role, environment, name, options = {}) => {
      const process = await openBulkhead(config(role, environment, name), {
        log: createLog({ level: 'silent' }),
        ...options,
      });
      opened.push(process);
      return process;
    },
    ask: async ({ app }, account, method, path, body) => {
      const seconds = Math.floor(Date.now() / 1000);
      const claims = {
        sub: account,
        iat: seconds,
        exp: seconds + 600,
        auth_time: seconds,
        groups: undefined,
      };
      const response = await app.fetch(
        new Request(new URL(path, 'http://localhost'), {
          method,
          headers: {
            authorization: `Bearer ${await issuer.sign(key, claims)}`,
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        }),
      );
      const text = await response.text();
      return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
    },
    init: () =>
      initTenant(config('admin'), {
        tenant: TENANT,
        issuer: 'workforce',
        account: ADMINISTRATOR,
        displayName: 'Root',
      }).then(() => {}),
    close: async () => {
      for (const process of opened) await process.close();
      await issuer.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
