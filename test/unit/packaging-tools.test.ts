/** What only the tools themselves can say of the compose file and the chart; each part is skipped without its tool. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { PROJECT, readCompose } from '../helpers/compose.ts';
import { hasTool } from '../helpers/tools.ts';

const CHART = join(PROJECT, 'deploy/helm/bulkhead');
/** A helm that was built from source takes itself for one of an old cluster. */
const ON = ['--kube-version', '1.33.0'];
const ROLES = ['retrieve', 'ingest', 'indexer', 'admin', 'audit'];

function output(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe', cwd: PROJECT, timeout: 60_000 });
}

function failure(command: string, ...args: readonly string[]): string {
  try {
    return `it did not fail: ${output(command, ...args)}`;
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr);
  }
}

const composeTool = hasTool('docker-compose', ['version'], 'docker compose config');

describe.skipIf(!composeTool)('docker compose', () => {
  it.each(['roles', 'single'])('takes the file with the profile %s, as the tests read it', (profile) => {
    const args = ['--profile', profile, 'config', '--format', 'json'];
    const config = JSON.parse(output('docker-compose', ...args)) as {
      services: Record<string, { networks: object }>;
    };
    const { services } = readCompose();
    const inProfile = Object.keys(services).filter((name) => services[name]?.profiles.includes(profile));
    expect(Object.keys(config.services).sort()).toEqual(inProfile.sort());
    for (const name of inProfile) {
      const networks = services[name]?.networks ?? [];
      const expected = Array.isArray(networks) ? networks : Object.keys(networks);
      expect(Object.keys(config.services[name]?.networks ?? {}).sort(), name).toEqual([...expected].sort());
    }
  });
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  // biome-ignore lint/suspicious/noExplicitAny: as many shapes as kinds
  readonly spec: any;
  readonly data?: Readonly<Record<string, string>>;
}

const helm = hasTool('helm', ['version'], 'The Helm chart');

describe.skipIf(!helm)('The Helm chart', () => {
  const EXAMPLE = join(CHART, 'ci/example-values.yaml');
  const render = (...args: readonly string[]): readonly Manifest[] =>
    parseAllDocuments(output('helm', 'template', 'ask', CHART, ...ON, '--values', EXAMPLE, ...args))
      .map((document) => document.toJS({ maxAliasCount: -1 }) as Manifest | null)
      .filter((manifest): manifest is Manifest => manifest !== null);
  let manifests: readonly Manifest[];
  beforeAll(() => {
    manifests = render();
  });
  const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const pods = () => [...of('StatefulSet'), ...of('Job')].map(({ spec }) => spec.template.spec);
  const policyOf = (role: string) =>
    of('NetworkPolicy').find(({ metadata }) => metadata.name === `ask-${role}`)?.spec;

  it('lints', () => {
    expect(output('helm', 'lint', '--strict', CHART, ...ON, '--values', EXAMPLE)).toContain(
      '0 chart(s) failed',
    );
  });

  it('refuses values that are missing or misspelled', () => {
    expect(failure('helm', 'template', 'ask', CHART, ...ON)).toMatch(/issuers|host|url/);
    const misspelled = ['--set', 'roles.retrieve.replica=3'];
    expect(failure('helm', 'template', 'ask', CHART, ...ON, '--values', EXAMPLE, ...misspelled)).toMatch(
      /replica/,
    );
    const latest = ['--set', 'image.tag=latest'];
    expect(failure('helm', 'template', 'ask', CHART, ...ON, '--values', EXAMPLE, ...latest)).toMatch(/tag/);
  });

  it('runs each role apart, and the schema before them', () => {
    expect(
      of('StatefulSet')
        .map(({ metadata }) => metadata.name)
        .sort(),
    ).toEqual(ROLES.map((r) => `ask-${r}`).sort());
    expect(of('PodDisruptionBudget')).toHaveLength(ROLES.length);
    expect(of('Job')[0]?.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-install,pre-upgrade' });
    for (const role of ROLES) {
      const env = of('StatefulSet').find(({ metadata }) => metadata.name === `ask-${role}`)?.spec.template
        .spec.containers[0].env;
      expect(env).toContainEqual({ name: 'BULKHEAD_ROLE', value: role });
      expect(env).toContainEqual({ name: 'BULKHEAD_WRITER', value: `${role}-$(POD_INDEX)` });
    }
  });

  it('asks nothing of a namespace that enforces the restricted standard', () => {
    for (const pod of pods()) {
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 10001,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod.hostNetwork ?? pod.hostPID ?? pod.hostIPC).toBeUndefined();
      for (const container of pod.containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources.limits.memory).toBeDefined();
      }
      for (const volume of pod.volumes) expect(volume.hostPath).toBeUndefined();
    }
  });

  it('holds no secret, and mounts none of another role', () => {
    expect(of('Secret')).toEqual([]);
    for (const role of ROLES) {
      const pod = of('StatefulSet').find(({ metadata }) => metadata.name === `ask-${role}`)?.spec.template
        .spec;
      const mounted = JSON.stringify(pod.volumes);
      for (const other of ROLES) if (other !== role) expect(mounted).not.toContain(`bulkhead-${other}`);
      expect(mounted.includes('qdrant-write-key')).toBe(role === 'indexer');
      expect(mounted.includes('qdrant-read-key')).toBe(role === 'retrieve');
      expect(mounted.includes('client-secret')).toBe(role === 'retrieve');
      expect(mounted.includes('data-keys')).toBe(['retrieve', 'ingest', 'indexer'].includes(role));
      for (const { name, value } of pod.containers[0].env)
        if (/PASSWORD|KEY|SECRET/.test(name)) expect(value, name).toMatch(/^\/run\/secrets\//);
    }
  });

  it('opens in its policies what the compose file joins, and nothing else', () => {
    expect(policyOf('deny')).toMatchObject({ policyTypes: ['Ingress', 'Egress'] });
    expect(policyOf('deny').egress ?? policyOf('deny').ingress).toBeUndefined();
    // biome-ignore lint/suspicious/noExplicitAny: a policy's rules
    const ports = (rules: any[] = []) =>
      rules.flatMap((rule) => rule.ports.map((p: { port: unknown }) => p.port));
    const dns = [53, 53];
    expect(ports(policyOf('retrieve').egress)).toEqual([...dns, 5432, 6333, 443]);
    expect(ports(policyOf('ingest').egress)).toEqual([...dns, 5432, 443]);
    expect(ports(policyOf('indexer').egress)).toEqual([...dns, 5432, 6333]);
    expect(ports(policyOf('admin').egress)).toEqual([...dns, 5432, 443]);
    expect(ports(policyOf('audit').egress)).toEqual([...dns, 5432, 443]);
    expect(ports(policyOf('migrate').egress)).toEqual([...dns, 5432]);
    expect(ports(policyOf('retrieve').ingress)).toEqual(['api', 'metrics']);
    expect(ports(policyOf('admin').ingress)).toEqual(['metrics']);
    expect(ports(policyOf('indexer').ingress)).toEqual(['metrics']);
  });

  it('admits nobody where a list of peers is empty', () => {
    const rules = render('--set-json', EMPTY_PEERS)
      .filter(({ kind }) => kind === 'NetworkPolicy')
      .flatMap(({ spec }) => [...(spec.egress ?? []), ...(spec.ingress ?? [])]);
    expect(rules).toEqual([]);
  });

  it('scales retrieve by the time that answers take, and leaves the number of replicas to that', () => {
    const [scaler] = of('HorizontalPodAutoscaler');
    expect(scaler?.spec.metrics[0].pods.metric.name).toBe('bulkhead_request_duration_p95_seconds');
    const replicas = of('StatefulSet').map(({ metadata, spec }) => [metadata.name, spec.replicas]);
    expect(replicas).toContainEqual(['ask-retrieve', undefined]);
    expect(replicas).toContainEqual(['ask-ingest', 2]);
  });

  it('gives the sign-in to retrieve alone', () => {
    const configs = Object.fromEntries(
      of('ConfigMap').map(({ metadata, data }) => [metadata.name, data?.['bulkhead.yaml'] ?? '']),
    );
    expect(configs['ask-pages']).toContain('signIn:');
    expect(configs['ask-roles']).not.toContain('signIn:');
  });
});

const EMPTY_PEERS =
  'network={"dns":[],"database":[],"qdrant":[],"identity":[],"metrics":[],"callers":{"retrieve":[],"ingest":[],"admin":[],"audit":[]}}';

const validator =
  helm && hasTool('kubernetes-validate', ['--version'], "The chart's check against Kubernetes' schemas");

describe.skipIf(!validator)("Kubernetes' own schemas", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'bulkhead-chart-'));
    output(
      'helm',
      'template',
      'ask',
      CHART,
      ...ON,
      '--values',
      join(CHART, 'ci/example-values.yaml'),
      '--output-dir',
      folder,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('take everything the chart renders', () => {
    const templates = join(folder, 'bulkhead/templates');
    const files = readdirSync(templates).map((name) => join(templates, name));
    expect(files.length).toBeGreaterThan(4);
    const said = output('kubernetes-validate', '--strict', ...files);
    expect(said).not.toMatch(/ERROR|FAIL/i);
  });
});
