/** A Keycloak of one's own: found or fetched, on free ports, with everything in memory, gone when it is stopped. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from '../helpers/command.ts';
import { hasTool } from '../helpers/tools.ts';

/** The newest that runs on Java 17, as tried. */
const VERSION = '26.7.3';
const ARTIFACT = `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`;
const CACHE = join(homedir(), '.cache', 'bulkhead', 'keycloak');
const SKIPPED = 'The Keycloak suite';
/** Of this machine, with its settings. */
const MAVEN = 'mvn';
const DOWNLOAD_MS = 300_000;
/** The first start of a version also builds it, which takes about as long again. */
const READY_MS = 150_000;
export const ADMINISTRATOR = { username: 'keycloak-admin', password: 'administers-keycloak' };

export interface Keycloak {
  /** http://localhost:<port> */
  readonly url: string;
  /** How long it took to be ready. */
  readonly startedInMs: number;
  stop(): Promise<void>;
}

/** The distribution's folder; says in one line what is missing where there is none. */
export function findKeycloak(): string | undefined {
  if (!hasTool('java', ['-version'], SKIPPED)) return undefined;
  const given = process.env.KEYCLOAK_HOME;
  if (given !== undefined)
    return isHome(given) ? given : missing(`KEYCLOAK_HOME holds no bin/kc.sh: ${given}`);
  const home = join(CACHE, `keycloak-${VERSION}`);
  if (isHome(home)) return home;
  if (!hasTool(MAVEN, ['-v'], SKIPPED) || !hasTool('unzip', ['-v'], SKIPPED)) return undefined;
  return download() && isHome(home) ? home : missing(`${ARTIFACT} could not be downloaded`);
}

function isHome(folder: string): boolean {
  return existsSync(join(folder, 'bin', 'kc.sh'));
}

function missing(what: string): undefined {
  process.stderr.write(`${SKIPPED} is skipped: ${what}.\n`);
}

/** From wherever this machine's Maven gets things; once, outside of the repository. */
function download(): boolean {
  say(`downloading ${ARTIFACT} (170 MB, once)`);
  mkdirSync(CACHE, { recursive: true });
  const copy = ['-q', '-B', 'dependency:copy', `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${CACHE}`];
  try {
    execFileSync(MAVEN, copy, { cwd: CACHE, stdio: 'pipe', timeout: DOWNLOAD_MS });
    const zip = join(CACHE, `keycloak-quarkus-dist-${VERSION}.zip`);
    execFileSync('unzip', ['-q', '-o', zip, '-d', CACHE], { stdio: 'pipe', timeout: DOWNLOAD_MS });
    return true;
  } catch {
    return false;
  }
}

/** Resolves once it answers. Realms are made through its own administration, so nothing is written to its folder. */
export async function startKeycloak(home: string): Promise<Keycloak> {
  const [port, management] = [await freePort(), await freePort()];
  const options = { 'http-port': port, 'http-host': '127.0.0.1', 'http-management-port': management };
  const args = Object.entries({ db: 'dev-mem', ...options }).map(([name, value]) => `--${name}=${value}`);
  const { PATH = '', HOME = '' } = process.env;
  const env = {
    PATH,
    HOME,
    KC_BOOTSTRAP_ADMIN_USERNAME: ADMINISTRATOR.username,
    KC_BOOTSTRAP_ADMIN_PASSWORD: ADMINISTRATOR.password,
    // half the time to start; what it costs later is not met here
    JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1',
  };
  const startedAt = Date.now();
  // a process group, because the script starts Java as its child
  const child = spawn(join(home, 'bin', 'kc.sh'), ['start-dev', ...args], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
  const signal = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name);
  };
  const kill = () => signal('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((settle) => child.once('close', () => settle()));
  const url = `http://localhost:${port}`;
  while (!(await answers(`${url}/realms/master`))) {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    if (child.exitCode !== null) throw new Error(`Keycloak ended: ${output.join('').slice(-2_000)}`);
    if (Date.now() - startedAt > READY_MS) {
      kill();
      throw new Error(`Keycloak was not ready after ${seconds} s: ${output.join('').slice(-2_000)}`);
    }
    if (seconds > 0 && seconds % 10 === 0) say(`Keycloak ${VERSION} is starting, ${seconds} s`);
    await wait(1_000);
  }
  const startedInMs = Date.now() - startedAt;
  say(`Keycloak ${VERSION} answers after ${(startedInMs / 1000).toFixed(1)} s`);
  return {
    url,
    startedInMs,
    stop: async () => {
      signal('SIGTERM');
      await Promise.race([ended, wait(10_000).then(kill)]);
      process.off('exit', kill);
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
