import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';
import { PROJECT } from './folders.ts';

/** What figures were taken on; without it they mean nothing. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly loadAverage: string;
  readonly commit: string;
  readonly at: string;
}

/** Call before the first measurement: the load average is to be that of others. */
export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    loadAverage: loadavg()
      .map((load) => load.toFixed(2))
      .join(' '),
    commit: commit(),
    at: new Date().toISOString(),
  };
}

export function machineLine(machine: Machine): string {
  const { processor, cores, memoryGiB, node, loadAverage, commit: at } = machine;
  return `${processor}, ${cores} cores, ${memoryGiB} GiB, node ${node}, load average at start ${loadAverage}, commit ${at}`;
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: PROJECT, encoding: 'utf8' }).trim();
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'migrations') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}
