/** What each process role needs of the configuration, and what it must not be given. */
import type { Config } from '../config/config.ts';
import { isThisMachine } from '../config/connections.ts';
import { BulkheadError } from '../errors.ts';
import type { ProcessRole, ServiceRole } from '../store/process-role.ts';

/** Whether a process of this role does the work of the other. */
export function does(role: ServiceRole, work: ProcessRole): boolean {
  return role === 'all' || role === work;
}

/** Who searches or writes the index. */
export function usesIndex(role: ServiceRole): boolean {
  return does(role, 'retrieve') || does(role, 'indexer');
}

/** Who takes the texts of documents in or gives them out. */
function handlesTexts(role: ServiceRole): boolean {
  return usesIndex(role) || role === 'ingest';
}

/**
 * Refuses, before anything is opened, what would not work and what would be more than the role needs.
 * @throws BulkheadError `config_invalid`, in one line
 */
export function refuseUnfit(config: Config): void {
  const { role } = config;
  if (role !== 'all') refuseWithoutStores(config);
  if (role !== 'all' && !config.auditWriter.startsWith(`${role}-`))
    throw unfit(`The chain of a process of the role "${role}" begins with "${role}-": see BULKHEAD_WRITER.`);
  refuseIndexKeys(config);
  if (config.keyFile !== undefined && !handlesTexts(role))
    throw unfit(`The role "${role}" opens no texts: unset BULKHEAD_KEY_FILE.`);
}

/**
 * Refuses to take tokens and give texts in clear beyond this machine: a listener elsewhere has a certificate, or a proxy
 * in front that has one, which an https public address says. The indexer answers nothing but whether it is well.
 * @throws BulkheadError `store_unsafe`, in one line
 */
export function refusePlainListener({ production, role, host, certificate, publicUrl }: Config): void {
  if (!production || role === 'indexer' || certificate !== undefined || isThisMachine(host)) return;
  if (publicUrl !== undefined && new URL(publicUrl).protocol === 'https:') return;
  throw new BulkheadError(
    'store_unsafe',
    `Callers would reach ${host} without TLS. Set BULKHEAD_TLS_CERT and BULKHEAD_TLS_KEY, or, behind a proxy that terminates TLS, BULKHEAD_URL to its https address.`,
  );
}

function refuseWithoutStores({ role, database, demo }: Config): void {
  if (database === undefined)
    throw unfit(
      `The role "${role}" needs PostgreSQL: set DATABASE_URL. On the embedded store one process is all roles.`,
    );
  if (demo)
    throw unfit(
      `The demo runs in one process of all roles: name a configuration in BULKHEAD_CONFIG, or set BULKHEAD_DEMO=false, for the role "${role}".`,
    );
}

function refuseIndexKeys({ role, qdrant, production }: Config): void {
  if (qdrant === undefined) return;
  const { readKey, writeKey } = qdrant;
  if (!usesIndex(role) && readKey !== undefined)
    throw unfit(
      `The role "${role}" does not use the index: unset QDRANT_API_KEY, QDRANT_API_KEY_FILE and QDRANT_READ_KEY_FILE.`,
    );
  if (role === 'retrieve' && writeKey !== undefined)
    throw unfit(
      'The role "retrieve" only searches: unset QDRANT_API_KEY and QDRANT_API_KEY_FILE, and set QDRANT_READ_KEY_FILE.',
    );
  if (role === 'retrieve' && readKey === undefined)
    throw unfit('The role "retrieve" searches Qdrant with a key that only reads: set QDRANT_READ_KEY_FILE.');
  if ((role === 'indexer' || (role === 'all' && production)) && writeKey === undefined)
    throw unfit(`The role "${role}" writes the index: set QDRANT_API_KEY_FILE.`);
}

const SERVED: Readonly<Record<ServiceRole, string>> = {
  retrieve: 'questions, reading documents and the pages',
  ingest: 'taking documents in',
  indexer: 'no requests but /healthz and /readyz; it keeps the index',
  admin: 'labels, entries, clearances and the directory',
  audit: 'reading and verifying the audit log',
  all: 'everything',
};

/** Which role on which stores, and what it answers: one sentence for whoever starts it. */
export function describeRole({ role, database, qdrant }: Config): string {
  const store = database === undefined ? 'the embedded store' : 'PostgreSQL';
  const index = qdrant !== undefined && usesIndex(role) ? ' and Qdrant' : '';
  const refused = role === 'all' ? '' : ', and refuses all else';
  return `Role ${role} on ${store}${index}: serves ${SERVED[role]}${refused}.`;
}

function unfit(detail: string): BulkheadError {
  return new BulkheadError('config_invalid', detail);
}
