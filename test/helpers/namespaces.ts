/** The compose file's networks as network namespaces and bridges: the same reachability without containers. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const IPROUTE = 'ip';

/** By service, the networks it joins and the further names it has on each. */
export type Memberships = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

export interface Topology {
  readonly services: readonly string[];
  /** Where a service answers on a network that it joins. */
  address(service: string, network: string): string;
  /** Starts a program in the service's namespace, where names resolve as the service would resolve them. */
  start(service: string, command: readonly string[], options?: StartOptions): ChildProcess;
  /** The services of which some address accepts a connection from this one, by trying every address of each. */
  reachable(from: string, port: number): Promise<readonly string[]>;
  close(): void;
}

interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
}

/** Says once what is skipped where namespaces cannot be made: they need Linux, root and iproute2. */
export function canMakeNamespaces(): boolean {
  const name = `bhprobe${process.pid}`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return true;
  } catch {
    process.stderr.write(
      'The tests in network namespaces are skipped: making one needs Linux, root and iproute2.\n',
    );
    return false;
  }
}

/**
 * A namespace for each service and a bridge for each network. Networks whose name begins with `edge-` have an
 * address on this machine too, as those do that publish a port; no other does, and nothing is forwarded.
 */
export function openTopology(memberships: Memberships): Topology {
  const services = [...memberships.keys()];
  const networks = [...new Set([...memberships.values()].flatMap((joined) => [...joined.keys()]))];
  const namespaceOf = (service: string) => `bh${process.pid}-${service}`;
  const bridgeOf = (network: string) => `bh${process.pid % 100_000}n${networks.indexOf(network)}`;
  const address = (service: string, network: string) =>
    `10.213.${networks.indexOf(network)}.${services.indexOf(service) + 10}`;
  const running = new Set<ChildProcess>();

  const close = () => {
    for (const child of running) child.kill('SIGKILL');
    for (const service of services) {
      quietly(() => ip('netns', 'del', namespaceOf(service)));
      rmSync(hostsFolder(namespaceOf(service)), { recursive: true, force: true });
    }
    for (const network of networks) quietly(() => ip('link', 'del', bridgeOf(network)));
  };

  function start(service: string, command: readonly string[], options: StartOptions = {}): ChildProcess {
    const asUser =
      options.uid === undefined
        ? []
        : ['setpriv', '--reuid', `${options.uid}`, '--regid', `${options.uid}`, '--clear-groups'];
    const child = spawn(IPROUTE, ['netns', 'exec', namespaceOf(service), ...asUser, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '', ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    return child;
  }

  try {
    for (const [index, network] of networks.entries()) {
      ip('link', 'add', bridgeOf(network), 'type', 'bridge');
      ip('link', 'set', bridgeOf(network), 'up');
      if (network.startsWith('edge-')) ip('addr', 'add', `10.213.${index}.1/24`, 'dev', bridgeOf(network));
    }
    for (const [service, joined] of memberships) {
      ip('netns', 'add', namespaceOf(service));
      ip('-n', namespaceOf(service), 'link', 'set', 'lo', 'up');
      for (const network of joined.keys()) connect(service, network);
      writeHosts(namespaceOf(service), hostsOf(service));
    }
  } catch (error) {
    close();
    throw error;
  }

  function connect(service: string, network: string): void {
    const inside = `eth${networks.indexOf(network)}`;
    const outside = `${bridgeOf(network)}s${services.indexOf(service)}`;
    ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', namespaceOf(service));
    ip('link', 'set', outside, 'master', bridgeOf(network), 'up');
    ip('-n', namespaceOf(service), 'addr', 'add', `${address(service, network)}/24`, 'dev', inside);
    ip('-n', namespaceOf(service), 'link', 'set', inside, 'up');
  }

  /** As the engine's name server answers: the services of one's own networks, and nothing else. */
  function hostsOf(service: string): string {
    const lines = ['127.0.0.1 localhost'];
    for (const network of memberships.get(service)?.keys() ?? [])
      for (const [other, joined] of memberships) {
        const aliases = joined.get(network);
        if (aliases !== undefined) lines.push([address(other, network), other, ...aliases].join(' '));
      }
    return `${lines.join('\n')}\n`;
  }

  return {
    services,
    address,
    start,
    reachable: async (from, port) => {
      const targets = [...memberships].flatMap(([service, joined]) =>
        service === from ? [] : [...joined.keys()].map((network) => [service, address(service, network)]),
      );
      const child = start(from, [process.execPath, '-e', TRY_ALL, JSON.stringify(targets), String(port)]);
      let said = '';
      child.stdout?.on('data', (text) => {
        said += text;
      });
      await new Promise((resolve) => child.once('close', resolve));
      return JSON.parse(said) as string[];
    },
    close,
  };
}

const TRY_ALL = `
const { connect } = require('node:net');
const [targets, port] = [JSON.parse(process.argv[1]), Number(process.argv[2])];
const attempt = ([service, host]) => new Promise((resolve) => {
  const socket = connect({ host, port, timeout: 1000 });
  const end = (answer) => { socket.destroy(); resolve(answer); };
  socket.on('connect', () => end([service]));
  socket.on('timeout', () => end([]));
  socket.on('error', () => end([]));
});
Promise.all(targets.map(attempt)).then((found) => console.log(JSON.stringify([...new Set(found.flat())].sort())));
`;

/** `ip netns exec` puts this folder's files in the place of those in /etc. */
const hostsFolder = (namespace: string) => join('/etc/netns', namespace);

function writeHosts(namespace: string, text: string): void {
  mkdirSync(hostsFolder(namespace), { recursive: true });
  writeFileSync(join(hostsFolder(namespace), 'hosts'), text);
}

function ip(...args: readonly string[]): void {
  execFileSync(IPROUTE, args, { stdio: 'pipe', timeout: 10_000 });
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // what was never made cannot be removed
  }
}
