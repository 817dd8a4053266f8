/**
 * onnxruntime reports home unless it is told not to, ten seconds after it was loaded. Two processes run side by side
 * in fresh home folders, one opened as the program does, one without src/embed/no-telemetry.ts: the second shows that
 * this test would see a report. Its way out is a proxy on this machine that never answers.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const script = fileURLToPath(new URL('../helpers/embed-child.mjs', import.meta.url));
const manifestPath = fileURLToPath(new URL('../../models/all-MiniLM-L6-v2/manifest.json', import.meta.url));

class Observed {
  readonly contacts: string[] = [];
  readonly sockets = new Set<string>();
  home = '';
  #proxy: Server | undefined;
  #child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor(readonly mode: 'guarded' | 'unguarded') {}

  /** Until the child has embedded its text. */
  async start(): Promise<void> {
    this.home = await mkdtemp(join(tmpdir(), 'bulkhead-home-'));
    this.#proxy = createServer((request) => this.contacts.push(request.url ?? ''));
    this.#proxy.on('connect', (request) => this.contacts.push(request.url ?? ''));
    await new Promise<void>((resolve) => this.#proxy?.listen(0, '127.0.0.1', resolve));
    const proxy = `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`;
    const env = {
      PATH: process.env.PATH,
      HOME: this.home,
      https_proxy: proxy,
      http_proxy: proxy,
      all_proxy: proxy,
    };
    const stdio = ['pipe', 'pipe', 'inherit'] as const;
    const child = spawn(process.execPath, [script, this.mode, manifestPath], {
      env,
      cwd: this.home,
      stdio: [...stdio],
    });
    this.#child = child as ChildProcessByStdio<Writable, Readable, null>;
    const pid = child.pid ?? 0;
    this.#watch = setInterval(() => {
      for (const socket of internetSockets(pid)) this.sockets.add(socket);
    }, 5);
    await new Promise((resolve, reject) => {
      child.stdout?.once('data', resolve);
      child.once('exit', (code) => reject(new Error(`the child ended with ${code}`)));
    });
  }

  get files(): Promise<string[]> {
    return readdir(this.home, { recursive: true });
  }

  /** Lets the child close its embedder and end by itself, in case a report is sent only then. */
  async finish(): Promise<void> {
    const ended = new Promise((resolve) => this.#child?.once('exit', resolve));
    this.#child?.stdin.end();
    await ended;
  }

  async clear(): Promise<void> {
    clearInterval(this.#watch);
    this.#child?.kill('SIGKILL');
    this.#proxy?.closeAllConnections();
    this.#proxy?.close();
    await rm(this.home, { recursive: true, force: true });
  }
}

/** The TCP and UDP sockets a process has open, with the far end as the kernel prints it. */
function internetSockets(pid: number): string[] {
  try {
    const descriptors = `/proc/${pid}/fd`;
    const links = readdirSync(descriptors).map((fd) => readlinkSync(join(descriptors, fd)));
    const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
    return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((kind) => {
      const rows = readFileSync(`/proc/${pid}/net/${kind}`, 'utf8').trim().split('\n').slice(1);
      const columns = rows.map((row) => row.trim().split(/\s+/));
      return columns.filter(([...column]) => own.has(column[9])).map((column) => `${kind} ${column[2]}`);
    });
  } catch {
    return []; // a descriptor was closed, or the process ended, between two reads
  }
}

describe.runIf(process.platform === 'linux')('embedding', () => {
  const guarded = new Observed('guarded');
  const unguarded = new Observed('unguarded');

  beforeAll(async () => {
    await Promise.all([guarded.start(), unguarded.start()]);
    await vi.waitUntil(() => unguarded.contacts.length > 0, { timeout: 40_000 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }, 90_000);

  afterAll(() => Promise.all([guarded.clear(), unguarded.clear()]));

  it('without the guard leaves files, opens a socket and reports home, so the observation can fail', async () => {
    expect(await unguarded.files).toContain('.cache/Microsoft');
    expect(unguarded.contacts[0]).toContain('microsoft.com');
    expect(unguarded.sockets.size).toBeGreaterThan(0);
  });

  it('leaves no file in the home folder, opens no socket and reports to nobody, up to its end', async () => {
    const seen = async () => ({
      files: await guarded.files,
      contacts: guarded.contacts,
      sockets: [...guarded.sockets],
    });
    const nothing = { files: [], contacts: [], sockets: [] };
    expect(await seen()).toEqual(nothing);
    await guarded.finish();
    expect(await seen()).toEqual(nothing);
  });
});
