/** How long starting takes, and how much memory the server takes while it answers and ingests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Submission } from '../../src/ingest/submission.ts';
import { copyOf } from './data-folder.ts';
import { freshSubmissions } from './ingest-rate.ts';
import { type ServerProcess, startServer } from './server-process.ts';
import { TENANT } from './spine-folder.ts';
import { startIssuer } from './token-issuer.ts';

export interface StartTimes {
  /** On an existing data folder, after a clean stop and after `kill -9`. In seconds. */
  readonly ready: number;
  readonly readyAfterKill: number;
}

export async function timeStart(folder: string): Promise<StartTimes> {
  const data = copyOf(folder);
  const environment = { BULKHEAD_DATA: data, BULKHEAD_DEMO: 'false' };
  try {
    const first = await startServer(environment);
    await first.stop('SIGKILL');
    const second = await startServer(environment);
    await second.stop();
    return { ready: first.readyMs / 1000, readyAfterKill: second.readyMs / 1000 };
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

/** With nothing there yet, compiled code included, until the demo company can be asked. In seconds. */
export async function timeFirstStart(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
  try {
    // the TypeScript loader keeps what it compiled in the folder for temporary files
    const server = await startServer({ BULKHEAD_DATA: join(folder, 'data'), TMPDIR: folder });
    await server.stop();
    return server.readyMs / 1000;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In MiB. */
export interface ServerMemory {
  readonly started: number;
  readonly afterQueries: number;
  readonly afterIngest: number;
  /** The most there was at any time. */
  readonly peak: number;
}

/** Asks over HTTP, then ingests a batch over HTTP while it goes on asking. */
export async function measureMemory(
  folder: string,
  questions: readonly string[],
  documents: number,
): Promise<ServerMemory> {
  const data = copyOf(folder);
  const issuer = await startIssuer(TENANT, data);
  const server = await startServer({ BULKHEAD_DATA: data, BULKHEAD_CONFIG: issuer.configFile });
  try {
    const started = server.memory().now;
    const reader = await issuer.token('all');
    for (const question of questions) await ask(server, reader, question);
    const afterQueries = server.memory().now;
    const batch = send(server, await issuer.token('administrator'), freshSubmissions(documents, 300));
    let running = true;
    const ended = batch.finally(() => {
      running = false;
    });
    // looked at below, when the last question was answered
    ended.catch(() => {});
    for (let i = 0; running; i += 1) await ask(server, reader, questions[i % questions.length] ?? '');
    await ended;
    const { now: afterIngest, peak } = server.memory();
    return { started, afterQueries, afterIngest, peak };
  } catch (error) {
    throw new Error(`the server said: ${server.said()}`, { cause: error });
  } finally {
    await server.stop();
    issuer.close();
    rmSync(data, { recursive: true, force: true });
  }
}

async function ask({ url }: ServerProcess, token: string, query: string): Promise<void> {
  const response = await fetch(`${url}/v1/retrieve`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query, limit: 10 }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`retrieve answered ${response.status}: ${text.slice(0, 300)}`);
}

async function send(
  { url }: ServerProcess,
  token: string,
  submissions: readonly Submission[],
): Promise<void> {
  const response = await fetch(`${url}/v1/documents:batch`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
    body: submissions.map((submission) => `${JSON.stringify(uploadOf(submission))}\n`).join(''),
  });
  const text = await response.text();
  if (!response.ok || text.includes('"status":"failed"'))
    throw new Error(`the batch answered ${response.status}: ${text.slice(0, 300)}`);
}

function uploadOf({ container, externalId, source, mediaType, title, bytes, access }: Submission) {
  return {
    container,
    external_id: externalId,
    source,
    media_type: mediaType,
    title,
    text: Buffer.from(bytes).toString('utf8'),
    ...(access?.level !== undefined && { level: access.level }),
    entries: access?.entries.map(({ principal, effect }) => ({ [effect]: principal })) ?? [],
  };
}
