/** A service of the compose file as a process: its namespace, account, environment, secrets and read-only root. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Compose, PROJECT } from './compose.ts';
import type { Topology } from './namespaces.ts';

/** The account of the image. */
export const IMAGE_UID = 10001;

export interface ConfinedOptions {
  readonly topology: Topology;
  readonly compose: Compose;
  /** As deploy/compose/make-secrets.sh made it. */
  readonly secrets: string;
  /** Gets a folder for each service: its volume. */
  readonly volumes: string;
  /** Over what the compose file sets. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface Said {
  readonly child: ChildProcess;
  readonly finished: Promise<{ readonly code: number | null; readonly output: string }>;
  output(): string;
}

/**
 * Mounts as the engine would, in a mount namespace that ends with the process: the secrets that the service names,
 * its volume, memory for /tmp, and everything else read-only. Then gives up root and every capability.
 */
const CONFINE = `
set -eu
mount -t tmpfs -o size=4m,mode=0755 tmpfs /run
mkdir -p /run/secrets /run/data
while [ "$1" != -- ]; do
  mkdir -p "$(dirname "$2")"
  install -m 0444 "$1" "$2"
  shift 2
done
shift
mount --bind "$VOLUME" /run/data
mkdir /run/project
mount --bind "$PROJECT" /run/project
mount -t tmpfs -o size=64m,mode=1777,noexec,nosuid,nodev tmpfs /tmp
# a clone below /tmp is where it was again
mkdir -p "$PROJECT"
mount --bind /run/project "$PROJECT"
mount -o remount,bind,ro "$PROJECT"
umount /run/project
rmdir /run/project
cd "$PROJECT"
mount -o remount,bind,ro /
unset VOLUME PROJECT
exec setpriv --reuid ${IMAGE_UID} --regid ${IMAGE_UID} --clear-groups --bounding-set=-all --no-new-privs "$@"
`;

/** @param args of the program; the service's own command by default */
export function startConfined(
  { topology, compose, secrets, volumes, environment = {} }: ConfinedOptions,
  name: string,
  args: readonly string[] = compose.services[name]?.command ?? ['serve'],
): Said {
  const service = compose.services[name];
  if (service === undefined) throw new Error(`The compose file has no service ${name}.`);
  const volume = join(volumes, name);
  mkdirSync(volume, { recursive: true });
  const mounts = (service.secrets ?? []).flatMap((secret) => {
    const { source, target = source } = typeof secret === 'string' ? { source: secret } : secret;
    const from = join(secrets, compose.secrets[source]?.file.replace('.secrets/', '') ?? '');
    return [from, target.startsWith('/') ? target : join('/run/secrets', target)];
  });
  const program = [process.execPath, join(PROJECT, 'bin/bulkhead.mjs'), ...args];
  const set = Object.entries({ ...service.environment, ...environment });
  const env = Object.fromEntries(set.filter((pair): pair is [string, string] => pair[1] !== undefined));
  const child = topology.start(name, ['bash', '-c', CONFINE, 'confine', ...mounts, '--', ...program], {
    env: { ...env, VOLUME: volume, PROJECT },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const finished = new Promise<{ code: number | null; output: string }>((settle) =>
    child.once('close', (code) => settle({ code, output })),
  );
  return { child, finished, output: () => output };
}
