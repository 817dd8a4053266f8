/** Bulkhead as a process, for a firm whose people and services are Keycloak's. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Environment, type Running, run, serve, stop } from '../helpers/command.ts';
import { AUDIENCE, PEOPLE, SECRETS } from './realm.ts';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
}

interface Credentials {
  readonly token: string;
  /** Of the service that acts for the user of the token. */
  readonly actor?: string;
}

/** The highest asks for a sign-in of the second level. */
const LEVELS = [{ name: 'public' }, { name: 'internal' }, { name: 'guarded', acr: ['twice'] }];

/** What everybody, some, or nobody of the people may read; each text has a word of its own. */
const CONTAINERS = [
  { path: '/handbook', allow: 'everyone', text: 'Expenses for buoys are paid within ten days: heron.' },
  {
    path: '/staff',
    allow: 'group:company|/staff',
    text: 'Expenses of staff for buoys are paid at once: gannet.',
  },
  {
    path: '/admins',
    allow: 'group:company|/admin',
    text: 'Expenses of admins for buoys are never paid: puffin.',
  },
  {
    path: '/services',
    allow: 'service:company|robot',
    text: 'Expenses of robots for buoys are free: avocet.',
  },
  {
    path: '/vault',
    level: 'guarded',
    allow: 'everyone',
    text: 'Expenses in the vault for buoys are paid in gold: kittiwake.',
  },
];
const QUESTION = 'Which expenses for buoys are paid?';

/** Who pushes security events about the realm's people. */
export interface Transmitter {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly audience: string;
}

export class Firm {
  readonly url: string;
  readonly #folder: string;
  readonly #env: Environment;
  #server: Running | undefined;

  private constructor(url: string, folder: string, env: Environment) {
    this.url = url;
    this.#folder = folder;
    this.#env = env;
  }

  /** Makes the tenant, whose first administrator is the realm's `admin`, and starts. */
  static async open(issuer: string, port: number, signals: Transmitter): Promise<Firm> {
    const folder = await mkdtemp(join(tmpdir(), 'bulkhead-keycloak-'));
    await writeFile(join(folder, 'bulkhead.yaml'), configuration(issuer, signals));
    await writeFile(join(folder, 'client-secret'), SECRETS.bulkhead);
    const env = {
      BULKHEAD_CONFIG: join(folder, 'bulkhead.yaml'),
      BULKHEAD_DATA: join(folder, 'data'),
      PORT: String(port),
    };
    const firm = new Firm(`http://localhost:${port}`, folder, env);
    const made = await run(
      ['init', '--tenant', 'northwind', '--issuer', 'company', '--admin', PEOPLE.admin.id],
      env,
    );
    if (made.code !== 0) throw new Error(made.stderr);
    await firm.start();
    return firm;
  }

  async start(): Promise<void> {
    this.#server = await serve(this.#env);
  }

  async stop(): Promise<void> {
    if (this.#server !== undefined) await stop(this.#server);
    this.#server = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async ask(who: string | Credentials, method: string, path: string, body?: unknown): Promise<Answer> {
    const { token, actor } = typeof who === 'string' ? { token: who, actor: undefined } : who;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(actor !== undefined && { 'actor-authorization': `Bearer ${actor}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text === '' ? {} : JSON.parse(text) };
  }

  /** Asks what every document would answer. @returns the containers of what came back, in order of their names */
  async reads(who: string | Credentials): Promise<readonly string[]> {
    const answer = await this.ask(who, 'POST', '/v1/retrieve', { query: QUESTION, limit: 10 });
    if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.json)}`);
    const passages = answer.json.passages as readonly { external_id: string }[];
    return passages.map(({ external_id: id }) => id).sort();
  }

  /** As an administrator who knows that keys changed, instead of waiting until they are fetched anew. */
  async reloadKeys(admin: string): Promise<void> {
    const { status, json } = await this.ask(admin, 'POST', '/v1/issuers/company/keys:reload');
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(json)}`);
  }

  /** The directory, the containers and their documents. */
  async furnish(admin: string): Promise<void> {
    const must = async (method: string, path: string, body: unknown) => {
      const { status, json } = await this.ask(admin, method, path, body);
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    };
    const principal = (key: string) => `/v1/principals/${encodeURIComponent(key)}`;
    const add = (key: string) => must('POST', '/v1/principals', { principal: key, display_name: key });
    for (const { id } of Object.values(PEOPLE)) if (id !== PEOPLE.admin.id) await add(`user:company|${id}`);
    for (const service of ['assistant', 'robot']) await add(`service:company|${service}`);
    const paths = [
      '/staff',
      '/staff/engineering',
      '/staff/engineering/acoustics',
      '/admin',
      '/tenant-b/admin',
    ];
    for (const path of paths) await add(`group:company|${path}`);
    for (const [outer, inner] of [paths.slice(0, 2), paths.slice(1, 3)])
      await must('POST', `${principal(`group:company|${outer}`)}/members`, {
        member: `group:company|${inner}`,
      });
    // nobody may raise their own rights, so the administrator gives none to everyone
    const readers = Object.values(PEOPLE).filter(({ id }) => id !== PEOPLE.admin.id);
    for (const { id } of readers)
      await must('POST', `${principal(`user:company|${id}`)}/clearances`, { level: 'guarded' });
    for (const service of ['assistant', 'robot'])
      await must('POST', `${principal(`service:company|${service}`)}/clearances`, { level: 'internal' });
    for (const { path, allow, text, level = 'internal' } of CONTAINERS) {
      await must('POST', '/v1/containers', { path, level, entries: [{ allow }] });
      const document = { container: path, external_id: path, media_type: 'text/plain', text };
      await must('POST', '/v1/documents', document);
    }
    const ceiling = { level: 'internal', containers: ['/handbook', '/admins'] };
    await must('PUT', `${principal('service:company|assistant')}/ceiling`, ceiling);
  }
}

export { QUESTION };

function configuration(issuer: string, signals: Transmitter): string {
  return JSON.stringify({
    levels: LEVELS,
    issuers: [
      {
        name: 'company',
        kind: 'keycloak',
        tenant: 'northwind',
        issuer,
        audience: AUDIENCE,
        groupSource: 'token',
        actingClients: ['assistant'],
      },
    ],
    signals: [{ ...signals, tenant: 'northwind', issuerName: 'company' }],
    signIn: { clientId: 'bulkhead', clientSecretFile: './client-secret' },
  });
}
