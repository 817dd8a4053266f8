import { randomUUID } from 'node:crypto';
import type { AdminCaller } from '../../src/admin/change.ts';
import { createContainer } from '../../src/admin/containers.ts';
import type { ExplainParts } from '../../src/admin/explain.ts';
import type { EntryInput } from '../../src/admin/input.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import { Directory } from '../../src/store/directory.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { openTestAudit, type TestAudit } from './audit.ts';
import { asSuperuser } from './policy-tables.ts';
import { TEST_SCHEME } from './tenant.ts';

export const user = (name: string) => `user:workforce|${name}`;
export const group = (name: string) => `group:workforce|${name}`;
export const service = (name: string) => `service:workforce|${name}`;

interface RecordedEvent {
  readonly kind: string;
  readonly body: Record<string, unknown>;
}

/**
 * A small firm with one document in each of its three containers.
 * - `/open` public, for everyone; `/hr` confidential, for the group hr; `/hr/payroll` confidential + payroll, below it
 * - `root` holds every right and is cleared for nothing; `maria` holds every right on `/hr`, is in hr and is
 *   cleared for internal, so that she reads nothing there; `anna` is in hr and cleared for confidential + payroll;
 *   `otto` may audit `/hr`, and is cleared as she is; `petra` is everyone
 * - `agent` may act within `/open`, up to confidential
 */
export interface Company extends TestAudit {
  readonly parts: ExplainParts;
  readonly documents: Readonly<Record<'/open' | '/hr' | '/hr/payroll', string>>;
  readonly caller: (name: string, actor?: string) => AdminCaller;
  readonly epoch: () => Promise<{ readonly counter: number; readonly watermark: number }>;
  readonly events: () => Promise<readonly RecordedEvent[]>;
  /** Ids of the documents that row-level security shows them. */
  readonly readable: (name: string) => Promise<readonly string[]>;
  readonly one: <T>(statement: string) => Promise<T>;
}

export async function openCompany(): Promise<Company> {
  const audit = await openTestAudit();
  const { database } = audit;
  const parts = {
    database,
    scheme: TEST_SCHEME,
    audit: audit.log,
    redaction: redactionPolicy(
      TEST_SCHEME.levels.map(({ name }) => ({ name, redact: ['email'], alwaysMask: [] })),
    ),
  };
  const caller = (name: string, actor?: string): AdminCaller => ({
    identity: {
      tenant: 'meridian',
      user: user(name),
      tokenGroups: [],
      actor: actor === undefined ? undefined : service(actor),
      acr: undefined,
      authTime: undefined,
    },
    requestId: `req-${name}`,
  });
  await addPeople(audit);
  await addContainers(parts, caller('root'));
  await addRights(audit);
  const one = async <T>(statement: string) => (await asSuperuser<T>(database, statement))[0] as T;
  const documents = {
    '/open': await addDocument(audit, '/open'),
    '/hr': await addDocument(audit, '/hr'),
    '/hr/payroll': await addDocument(audit, '/hr/payroll'),
  };
  const before = (await one<{ n: number }>('select count(*) as n from audit_record')).n;
  return {
    ...audit,
    parts,
    documents,
    caller,
    one,
    epoch: () => one('select counter, watermark from policy_epoch'),
    events: async () => {
      const rows = await asSuperuser<{ kind: string; body: string }>(
        database,
        `select kind, body from audit_record where seq > ${before} order by seq`,
      );
      return rows.map(({ kind, body }) => ({ kind, body: JSON.parse(body) as Record<string, unknown> }));
    },
    readable: async (name) =>
      ReadableDocuments.as(database, (await audit.as(user(name))).context).matching({}),
  };
}

async function addPeople({ database, admin }: TestAudit): Promise<void> {
  const directory = Directory.as(database, admin.context);
  const account = (principal: string, displayName: string) => ({
    principal,
    source: 'workforce',
    displayName,
    status: 'active' as const,
  });
  await directory.upsertAccounts([
    ...['Maria', 'Anna', 'Otto', 'Petra'].map((name) => account(user(name.toLowerCase()), name)),
    account(service('agent'), 'Research agent'),
  ]);
  await directory.upsertGroups([
    { principal: group('hr'), displayName: 'Human Resources' },
    { principal: group('staff'), displayName: 'Staff' },
  ]);
  await directory.setMembers([
    { group: group('hr'), members: [{ principal: user('maria') }, { principal: user('anna') }] },
    { group: group('staff'), members: [{ principal: group('hr') }] },
  ]);
  await directory.grantClearance([
    { principal: 'everyone', level: 'public', compartments: [] },
    { principal: user('maria'), level: 'internal', compartments: [] },
    { principal: user('anna'), level: 'confidential', compartments: ['payroll'] },
    { principal: user('otto'), level: 'confidential', compartments: ['payroll'] },
  ]);
}

async function addContainers(parts: ExplainParts, root: AdminCaller): Promise<void> {
  const add = (path: string, level: string | null, compartments: string[], entries: EntryInput[]) =>
    createContainer(parts, root, { path, label: { level, compartments }, inherits: true, entries });
  await add('/open', null, [], [{ principal: 'everyone', effect: 'allow' }]);
  await add('/hr', 'confidential', [], [{ principal: group('hr'), effect: 'allow' }]);
  await add('/hr/payroll', null, ['payroll'], []);
}

async function addRights({ database, admin }: TestAudit): Promise<void> {
  const directory = Directory.as(database, admin.context);
  const rights = ['ingest', 'label', 'grant', 'audit', 'administer'];
  await directory.bindRight([
    ...rights.map((right) => ({ principal: user('maria'), container: '/hr', right })),
    { principal: user('otto'), container: '/hr', right: 'audit' },
  ]);
  await directory.setCeiling([
    { principal: service('agent'), level: 'confidential', compartments: [], containers: ['/open'] },
  ]);
}

/** A live document of one passage, in the container's own class. */
async function addDocument({ database }: TestAudit, path: string): Promise<string> {
  const id = randomUUID();
  await asSuperuser(
    database,
    `insert into document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count, title, media_type, content_hash)
       select '${id}', tenant_id, id, id, 'test', '${id}', 1, 1, 'Title', 'text/plain', '\\x00' from access_class where path = '${path}';
     insert into chunk (tenant_id, document_id, version, ordinal, text, start_offset, end_offset, tokens)
       select tenant_id, id, 1, 0, 'Text', 0, 4, 1 from document where id = '${id}';`,
  );
  return id;
}
