/** The server as people start it, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PROJECT } from './folders.ts';

const POLL_MS = 20;
const LONGEST_START_MS = 180_000;

export interface ServerProcess {
  readonly url: string;
  /** From the start of the process until it said it was ready. */
  readonly readyMs: number;
  /** Resident memory in MiB: now, and the most there ever was. */
  memory(): { readonly now: number; readonly peak: number };
  /** The end of what it wrote, for when something went wrong. */
  said(): string;
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

/** Starts `bulkhead serve` and polls /readyz. @throws Error with what it said when it does not become ready */
export async function startServer(environment: Readonly<Record<string, string>>): Promise<ServerProcess> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const child = spawn(process.execPath, [join(PROJECT, 'bin/bulkhead.mjs'), 'serve'], {
    cwd: PROJECT,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOG_LEVEL: 'error',
      PORT: String(port),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const output: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => output.push(data));
  child.stderr.on('data', (data: Buffer) => output.push(data));
  const said = () => Buffer.concat(output).toString('utf8').slice(-2000);
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() - began > LONGEST_START_MS) {
      child.kill('SIGKILL');
      throw new Error(`the server did not start: ${said()}`);
    }
    await setTimeout(POLL_MS);
  }
  return {
    url,
    readyMs: performance.now() - began,
    said,
    memory: () => memoryOf(child),
    stop: (signal = 'SIGTERM') => stop(child, signal),
  };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    return false;
  }
}

function memoryOf({ pid }: ChildProcess): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mebibytes = (field: string) =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024;
  return { now: mebibytes('VmRSS'), peak: mebibytes('VmHWM') };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

/** A port of this machine that nothing listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
