/** A contestant other than Bulkhead, in a process of its own as Bulkhead is. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from '../folders.ts';
import type { DataSpec } from './spec.ts';

export interface RivalOptions {
  readonly kind: 'unprotected' | 'post-filter' | 'bare';
  readonly spec: DataSpec;
  readonly databaseUrl: string;
  readonly qdrantUrl: string;
  readonly qdrantKey: string | undefined;
  readonly openFga: { readonly url: string; readonly store: string } | undefined;
  /** Of `bare`: its recorded searches, one JSON document a line. */
  readonly searchesFile: string | undefined;
}

export interface Rival {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startRival(options: RivalOptions): Promise<Rival> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(PROJECT, 'bench/retrieve-rival.ts')], {
    cwd: PROJECT,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      NODE_ENV: 'production',
      BENCH_RIVAL: JSON.stringify(options),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const port = await new Promise<number>((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString('utf8');
      const found = /listening on (\d+)/.exec(said);
      if (found !== null) resolve(Number(found[1]));
    });
    child.once('exit', (code) => reject(new Error(`the ${options.kind} server ended with ${code}: ${said}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      process.off('exit', kill);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}
