/** The real binary, in processes of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';

const BINARY = resolve(import.meta.dirname, '../../bin/bulkhead.mjs');

export type Environment = Readonly<Record<string, string>>;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What it has said so far on standard output. */
  stdout(): string;
  /** Resolves when the text has been said there; rejects when the process ends before. */
  said(text: string | RegExp): Promise<void>;
  readonly finished: Promise<Finished>;
}

/** Nothing of the tests' own environment but what a program needs to run at all. */
export function start(args: readonly string[], environment: Environment): Running {
  const { PATH = '', HOME = '' } = process.env;
  const env = { PATH, HOME, LOG_LEVEL: 'error', ...environment };
  const child = spawn(process.execPath, [BINARY, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  // a test that times out leaves nobody behind
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  child.once('close', () => process.off('exit', end));
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text;
  });
  const finished = new Promise<Finished>((settle) =>
    child.once('close', (code) => settle({ code, ...said })),
  );
  return {
    child,
    finished,
    stdout: () => said.stdout,
    said: (text) =>
      new Promise((settle, reject) => {
        const look = () => said.stdout.search(text) !== -1 && settle();
        child.stdout.on('data', look);
        child.once('close', () => reject(new Error(`It ended: ${said.stderr}`)));
        look();
      }),
  };
}

export function run(args: readonly string[], environment: Environment): Promise<Finished> {
  return start(args, environment).finished;
}

/** Resolves once it says that it is ready. */
export async function serve(environment: Environment): Promise<Running> {
  const server = start(['serve'], environment);
  await server.said(/Bulkhead is ready at/);
  return server;
}

export async function stop({ child, finished }: Running): Promise<Finished> {
  child.kill('SIGTERM');
  return finished;
}

/** Free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
