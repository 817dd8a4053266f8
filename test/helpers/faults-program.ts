/** The program under test as processes, and the people who use it while its stores fail. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Environment, freePort, type Running, run, serve, start, stop } from './command.ts';
import { AUDIENCE, IssuerServer, newKey, type SigningKey } from './identity-issuer.ts';

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | null;
  readonly ms: number;
  readonly json: Record<string, unknown>;
}

/** What may never be in an answer to Rea. */
export const FORBIDDEN = 'xylophone-of-the-admiral';

/** A tenant with its administrator Jane, with Rea, who may read `/log`, and with a document that she may not read. */
export class Program {
  readonly #folder: string;
  readonly #issuer: IssuerServer;
  readonly #key: SigningKey;
  readonly #stores: Environment;
  readonly #running = new Map<string, Running>();
  readonly #ports = new Map<string, number>();
  /** External ids of what was accepted. */
  readonly accepted = new Set<string>();
  #written = 0;

  private constructor(folder: string, issuer: IssuerServer, key: SigningKey, stores: Environment) {
    this.#folder = folder;
    this.#issuer = issuer;
    this.#key = key;
    this.#stores = stores;
  }

  /** @param stores `DATABASE_URL` and what else says where they are */
  static async create(stores: Environment): Promise<Program> {
    const folder = await mkdtemp(join(tmpdir(), 'bulkhead-faults-'));
    const issuer = await IssuerServer.start();
    const key = await newKey('one');
    issuer.published = [key];
    const own = {
      name: 'house',
      tenant: 'acme',
      issuer: issuer.url,
      audience: AUDIENCE,
      jwksUri: `${issuer.url}/jwks`,
    };
    await writeFile(join(folder, 'bulkhead.yaml'), JSON.stringify({ issuers: [own] }));
    const program = new Program(folder, issuer, key, stores);
    await program.#mustSucceed(['migrate']);
    await program.#mustSucceed(['init', '--tenant', 'acme', '--issuer', 'house', '--admin', 'jane']);
    await program.serve('one');
    await program.#fillTenant();
    return program;
  }

  async #environment(replica: string): Promise<Environment> {
    const port = this.#ports.get(replica) ?? (await freePort());
    this.#ports.set(replica, port);
    await mkdir(join(this.#folder, replica), { recursive: true });
    return {
      ...this.#stores,
      BULKHEAD_DATA: join(this.#folder, replica),
      BULKHEAD_CONFIG: join(this.#folder, 'bulkhead.yaml'),
      BULKHEAD_WRITER: `replica-${replica}`,
      BULKHEAD_INGEST_WORKERS: '1',
      BULKHEAD_TOKEN: await this.#token('jane'),
      DATABASE_STATEMENT_TIMEOUT_MS: '2000',
      DATABASE_LOCK_TIMEOUT_MS: '2000',
      QDRANT_TIMEOUT_MS: '1000',
      PORT: String(port),
    };
  }

  async #mustSucceed(args: readonly string[]): Promise<void> {
    const { code, stderr } = await run(args, await this.#environment('one'));
    if (code !== 0) throw new Error(`bulkhead ${args.join(' ')}: ${stderr}`);
  }

  async #fillTenant(): Promise<void> {
    await this.#must('POST', '/v1/containers', {
      path: '/log',
      level: 'internal',
      entries: [{ allow: 'everyone' }],
    });
    await this.#must('POST', '/v1/containers', { path: '/cabinet', level: 'restricted' });
    await this.#must('POST', '/v1/principals', { principal: 'user:house|rea', display_name: 'Rea' });
    await this.#must('POST', `/v1/principals/${encodeURIComponent('user:house|rea')}/clearances`, {
      level: 'internal',
    });
    await this.#must('POST', '/v1/documents', {
      container: '/cabinet',
      external_id: 'hidden.txt',
      media_type: 'text/plain',
      text: `The tide table lies under the ${FORBIDDEN}.`,
    });
    for (let n = 0; n < 5; n += 1) await this.write();
  }

  async #must(method: string, path: string, body: object): Promise<void> {
    const { status, text } = await this.ask('jane', method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${text}`);
  }

  async serve(replica: string): Promise<Running> {
    const running = await serve(await this.#environment(replica));
    this.#running.set(replica, running);
    return running;
  }

  async kill(replica: string): Promise<void> {
    const running = this.#running.get(replica);
    running?.child.kill('SIGKILL');
    await running?.finished;
    this.#running.delete(replica);
  }

  /** Pauses a replica, or lets it go on. */
  signal(replica: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running.get(replica)?.child.kill(signal);
  }

  urlOf(replica: string): string {
    return `http://127.0.0.1:${this.#ports.get(replica)}`;
  }

  isRunning(replica: string): boolean {
    return this.#running.get(replica)?.child.exitCode === null;
  }

  #token(account: string): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return this.#issuer.sign(this.#key, { sub: account, iat: now - 1, exp: now + 3600, auth_time: now - 1 });
  }

  async ask(account: string, method: string, path: string, body?: object, replica = 'one'): Promise<Answer> {
    const began = performance.now();
    const response = await fetch(`${this.urlOf(replica)}${path}`, {
      method,
      headers: { authorization: `Bearer ${await this.#token(account)}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      retryAfter: response.headers.get('retry-after'),
      ms: performance.now() - began,
      json: text.startsWith('{') ? (JSON.parse(text.split('\n')[0] ?? '') as Record<string, unknown>) : {},
    };
  }

  search(query: string, replica = 'one'): Promise<Answer> {
    return this.ask('rea', 'POST', '/v1/retrieve', { query, limit: 5 }, replica);
  }

  /** Sends the next document of the log. */
  async write(replica = 'one'): Promise<Answer> {
    this.#written += 1;
    const name = `log-${this.#written}.txt`;
    const sentences = Array.from({ length: 12 }, (_, n) => `Tide ${n} of day ${this.#written} was high. `);
    const answer = await this.ask(
      'jane',
      'POST',
      '/v1/documents',
      {
        container: '/log',
        external_id: name,
        media_type: 'text/plain',
        text: `${sentences.join('')}Seal number ${wordOf(this.#written)}.`,
      },
      replica,
    );
    // the second: it is stored, and the index has not taken it yet
    if (answer.status === 201 || answer.json.code === 'index_unavailable') this.accepted.add(name);
    return answer;
  }

  /** Names of all that Rea may read. */
  async listed(replica = 'one'): Promise<readonly string[]> {
    const names: string[] = [];
    for (let cursor = ''; ; ) {
      const { json, status, text } = await this.ask(
        'rea',
        'GET',
        `/v1/documents?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
        undefined,
        replica,
      );
      if (status !== 200) throw new Error(text);
      names.push(...(json.documents as { external_id: string }[]).map(({ external_id }) => external_id));
      if (typeof json.next_cursor !== 'string') return names;
      cursor = json.next_cursor;
    }
  }

  /** The last `count` documents, each by a word that no other has: those that a search does not find. */
  async notFound(count: number, replica = 'one'): Promise<readonly string[]> {
    const missing: string[] = [];
    for (const name of [...this.accepted].slice(-count)) {
      const n = Number(/\d+/.exec(name)?.[0]);
      const { text } = await this.search(`seal number ${wordOf(n)}`, replica);
      if (!text.includes(wordOf(n))) missing.push(name);
    }
    return missing;
  }

  /** How many passages differ between the stores, by kind. */
  async differences(replica = 'one'): Promise<unknown> {
    return (await this.ask('jane', 'POST', '/v1/doctor', {}, replica)).json.differences;
  }

  async run(...args: readonly string[]) {
    return run(args, await this.#environment('one'));
  }

  async start(args: readonly string[], replica = 'one'): Promise<Running> {
    return start(args, await this.#environment(replica));
  }

  async close(): Promise<void> {
    for (const running of this.#running.values()) {
      running.child.kill('SIGCONT');
      await stop(running);
    }
    await this.#issuer.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A word of its own for each number. */
function wordOf(n: number): string {
  return `zq${[...String(n)].map((digit) => 'bcdfghjklm'[Number(digit)]).join('')}vok`;
}

/** Rea and Jane at work from now until it is stopped: she searches for what she may not read, and Jane writes. */
export class Traffic {
  readonly answers: Answer[] = [];
  readonly written: Answer[] = [];
  #isOn = true;
  readonly #people: readonly Promise<void>[];

  constructor(program: Program, replica = 'one') {
    const searching = async () => {
      for (let n = 0; this.#isOn; n += 1) {
        const answer =
          n % 3 === 0
            ? await program.ask('rea', 'GET', '/v1/documents?limit=5', undefined, replica)
            : await program.search(`tide table under the ${FORBIDDEN}`, replica);
        this.answers.push(answer);
        await rest();
      }
    };
    const writing = async () => {
      while (this.#isOn) {
        this.written.push(await program.write(replica));
        await rest();
      }
    };
    this.#people = [searching(), searching(), writing()];
    // whoever stops it hears of it
    for (const person of this.#people) person.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#people);
  }

  all(): readonly Answer[] {
    return [...this.answers, ...this.written];
  }
}

const rest = () => new Promise((resolve) => setTimeout(resolve, 50));
