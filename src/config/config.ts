import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import { type AuditConfig, auditSchema } from './audit.ts';
import { type AuthzenConfig, authzenSchema } from './authzen.ts';
import {
  type DatabaseConnection,
  databaseConnection,
  type ListenerCertificate,
  listenerCertificate,
  type QdrantConnection,
  qdrantConnection,
} from './connections.ts';
import { type DirectoryConfig, directorySchema } from './directory.ts';
import { environmentSchema } from './environment.ts';
import { type IssuerConfig, issuerSchema, issuersOf } from './issuers.ts';
import { DEFAULT_POLICY, type PolicyConfig, policySchema } from './levels.ts';
import { httpSchema, type LimitsConfig, limitsSchema } from './limits.ts';
import { type ResourceConfig, resourceSchema } from './resource.ts';
import { type CertificateSource, certificateSources, servicesSchema } from './services.ts';
import { type SignInConfig, signInOf, signInSchema } from './sign-in.ts';
import { type SignalsConfig, signalsOf, signalsSchema } from './signals.ts';

const fileSchema = z.strictObject({
  levels: z.unknown().optional(),
  compartments: z.unknown().optional(),
  issuers: z.array(issuerSchema).default([]),
  signIn: signInSchema.optional(),
  limits: limitsSchema,
  http: httpSchema,
  resource: resourceSchema,
  authzen: authzenSchema,
  directory: directorySchema,
  signals: signalsSchema,
  services: servicesSchema.optional(),
  audit: auditSchema,
});

export interface Config {
  readonly production: boolean;
  readonly port: number;
  readonly host: string;
  /** As callers see this server; `undefined` = http://localhost:<port>. */
  readonly publicUrl: string | undefined;
  readonly dataFolder: string;
  /** Where request durations are told to whoever scrapes them; absent = nowhere. */
  readonly metricsPort: number | undefined;
  /** Which part of the program this process is; `all` on one machine. */
  readonly role: 'retrieve' | 'ingest' | 'indexer' | 'admin' | 'audit' | 'all';
  /** Absent = plain HTTP, for a listener behind a proxy or on this machine only. */
  readonly certificate: ListenerCertificate | undefined;
  /** Absent = the embedded store in the data folder. */
  readonly database: DatabaseConnection | undefined;
  /** Absent = the index in the database itself. */
  readonly qdrant: QdrantConnection | undefined;
  /** The file with the keys that wrap data keys; absent = no level may ask for encryption. */
  readonly keyFile: string | undefined;
  readonly modelManifest: string;
  readonly ingestWorkers: number | undefined;
  /** Names this process's audit chain, `<role>-<host>` by default; two processes never share one at a time. */
  readonly auditWriter: string;
  readonly logLevel: string;
  /** The demo tenant with its development identity provider; never in production. */
  readonly demo: boolean;
  readonly policy: PolicyConfig;
  readonly issuers: readonly IssuerConfig[];
  /** Services that show a client certificate, and who vouches for them. */
  readonly certificates: readonly CertificateSource[];
  readonly signIn: SignInConfig | undefined;
  readonly limits: LimitsConfig;
  readonly http: { readonly trustedProxies: readonly string[] };
  /** What clients are told of this service. */
  readonly resource: ResourceConfig;
  /** Words of other applications that ask for decisions. */
  readonly authzen: AuthzenConfig;
  /** Identity providers that say by themselves what has become of sessions and accounts. */
  readonly signals: readonly SignalsConfig[];
  /** Who provisions people and groups. */
  readonly directory: DirectoryConfig;
  /** Whose log has what is nobody's. */
  readonly audit: AuditConfig;
  /** For the command line: a bearer token, or a development account to act as. */
  readonly token: string | undefined;
  readonly actAs: string | undefined;
  readonly serverUrl: string | undefined;
}

const PROJECT = resolve(import.meta.dirname, '../..');
const DEMO_POLICY = resolve(PROJECT, 'fixtures/company/bulkhead.yaml');
const DEFAULT_MODEL = resolve(PROJECT, 'models/all-MiniLM-L6-v2/manifest.json');

/**
 * Reads the environment and `bulkhead.yaml` once, into one frozen object. Nothing else reads `process.env`.
 * @param given on the command line, by the variables' names, which it beats
 * @throws BulkheadError `config_invalid` naming every variable and field that is wrong
 */
export function loadConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  given: Readonly<Record<string, string>> = {},
): Config {
  const env = validate(environmentSchema, { ...environment, ...given }, 'the environment');
  const production = env.NODE_ENV === 'production';
  const demo = !production && env.BULKHEAD_CONFIG === undefined && env.BULKHEAD_DEMO;
  const file = readFile(env.BULKHEAD_CONFIG ?? (demo ? DEMO_POLICY : undefined));
  const {
    levels,
    compartments,
    issuers,
    signIn,
    limits,
    http,
    resource,
    authzen,
    directory,
    signals,
    services,
    audit,
  } = validate(fileSchema, file.content, file.name);
  const policy = levels === undefined ? DEFAULT_POLICY : { levels, compartments: compartments ?? [] };
  return deepFreeze({
    production,
    port: env.PORT,
    host: env.BULKHEAD_HOST,
    publicUrl: env.BULKHEAD_URL,
    dataFolder: resolve(env.BULKHEAD_DATA),
    metricsPort: env.BULKHEAD_METRICS_PORT,
    role: env.BULKHEAD_ROLE,
    certificate: listenerCertificate(env),
    database: databaseConnection(env),
    qdrant: qdrantConnection(env),
    keyFile: env.BULKHEAD_KEY_FILE === undefined ? undefined : resolve(env.BULKHEAD_KEY_FILE),
    modelManifest: resolve(env.BULKHEAD_MODEL ?? DEFAULT_MODEL),
    ingestWorkers: env.BULKHEAD_INGEST_WORKERS,
    auditWriter: env.BULKHEAD_WRITER ?? writerName(env.BULKHEAD_ROLE),
    logLevel: env.LOG_LEVEL,
    demo,
    policy: validate(policySchema, policy, file.name),
    issuers: issuersOf(issuers, file.name),
    signIn: signIn && signInOf(signIn, file.name),
    limits,
    http,
    resource,
    authzen,
    directory,
    audit,
    signals: signalsOf(signals, issuers, file.name),
    certificates: certificateSources(
      services,
      issuers.map(({ name }) => name),
      file.name,
    ),
    token: env.BULKHEAD_TOKEN,
    actAs: env.BULKHEAD_AS,
    serverUrl: env.BULKHEAD_SERVER,
  });
}

/** The database takes from a login of one role only what is written under a name that begins with the role. */
function writerName(role: Config['role']): string {
  return `${role}-${hostname().replace(/[^a-zA-Z0-9._-]/g, '-')}`.slice(0, 64);
}

function validate<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  const list = issues.map((issue) => `${issue.path || 'the whole'}: ${issue.message}`).join('; ');
  throw new BulkheadError('config_invalid', `The configuration in ${where} is not valid. ${list}`, {
    issues,
  });
}

function readFile(path: string | undefined): { name: string; content: unknown } {
  if (path === undefined) return { name: 'the defaults', content: {} };
  try {
    return { name: path, content: parse(readFileSync(path, 'utf8')) ?? {} };
  } catch (error) {
    throw new BulkheadError(
      'config_invalid',
      `The configuration file ${path} could not be read: ${reason(error)}.`,
      {
        cause: error,
      },
    );
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null && !Object.isFrozen(inner)) deepFreeze(inner);
  return Object.freeze(value);
}
