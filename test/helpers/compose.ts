/** docker-compose.yml as an engine would read it, as far as the tests look at it. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { Memberships } from './namespaces.ts';

export const PROJECT = resolve(import.meta.dirname, '../..');

interface Mount {
  readonly source: string;
  readonly target?: string;
}

export interface ComposeService {
  readonly profiles: readonly string[];
  readonly image: string;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly security_opt?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly network_mode?: string;
  readonly networks:
    | readonly string[]
    | Readonly<Record<string, { readonly aliases?: readonly string[] } | null>>;
  readonly environment: Readonly<Record<string, string>>;
  readonly secrets?: readonly (string | Mount)[];
  readonly configs?: readonly (string | Mount)[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly deploy?: {
    readonly resources?: {
      readonly limits?: { readonly cpus?: string; readonly memory?: string; readonly pids?: number };
    };
  };
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean; readonly driver_opts?: object }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export function readCompose(): Compose {
  return parse(readFileSync(resolve(PROJECT, 'docker-compose.yml'), 'utf8'), { merge: true }) as Compose;
}

/** Which service joins which network, for the services of one profile. */
export function membershipsOf({ services }: Compose, profile: string): Memberships {
  const inProfile = Object.entries(services).filter(([, service]) => service.profiles.includes(profile));
  return new Map(inProfile.map(([name, { networks }]) => [name, new Map(namesOf(networks))]));
}

function namesOf(networks: ComposeService['networks']): readonly (readonly [string, readonly string[]])[] {
  if (Array.isArray(networks)) return networks.map((name: string) => [name, []]);
  return Object.entries(networks).map(([name, settings]) => [name, settings?.aliases ?? []]);
}
