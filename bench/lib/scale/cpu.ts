/** Processor time of what a bench has started, by part, from Linux's /proc; elsewhere there is none. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Seconds of one core. */
export type CpuTime = Readonly<Record<'client' | 'server' | 'postgres' | 'qdrant', number>>;

export const NO_TIME: CpuTime = { client: 0, server: 0, postgres: 0, qdrant: 0 };
/** Fixed for programs by Linux, whatever the kernel counts in: proc(5), `USER_HZ`. */
const TICKS_PER_SECOND = 100;

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly seconds: number;
}

/** Of this process and all below it that are still there: two readings, one taken from the other, tell of a stretch. */
export function cpuTime(): CpuTime {
  const processes = readProcesses();
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const time = { ...NO_TIME };
  for (const one of processes) if (isOurs(one.pid, parents)) time[partOf(one)] += one.seconds;
  return time;
}

function isOurs(pid: number, parents: ReadonlyMap<number, number>): boolean {
  for (let id: number | undefined = pid; id !== undefined; id = parents.get(id))
    if (id === process.pid) return true;
  return false;
}

export function addTime(a: CpuTime, b: CpuTime): CpuTime {
  return map((part) => a[part] + b[part]);
}

export function timeBetween(before: CpuTime, after: CpuTime): CpuTime {
  return map((part) => after[part] - before[part]);
}

function map(of: (part: keyof CpuTime) => number): CpuTime {
  return { client: of('client'), server: of('server'), postgres: of('postgres'), qdrant: of('qdrant') };
}

function partOf({ pid, name }: Process): keyof CpuTime {
  if (pid === process.pid) return 'client';
  return name === 'postgres' || name === 'qdrant' ? name : 'server';
}

function readProcesses(): readonly Process[] {
  if (!existsSync('/proc/self/stat')) return [];
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return ids.flatMap((id) => readProcess(Number(id)) ?? []);
}

/** `undefined` for one that has ended since it was listed. */
function readProcess(pid: number): Process | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // the name stands in parentheses and may hold anything, parentheses too
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number);
  return { pid, parent: parent ?? 0, name, seconds: ((user ?? 0) + (system ?? 0)) / TICKS_PER_SECOND };
}
