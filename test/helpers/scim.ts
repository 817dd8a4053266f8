import { randomUUID } from 'node:crypto';
import { importDirectory } from '../../src/directory/import/import-directory.ts';
import type { ScimBinding } from '../../src/directory/scim/client.ts';
import type { SubjectAttribute } from '../../src/directory/scim/schemas.ts';
import { scimService } from '../../src/directory/scim/service.ts';
import { Serial } from '../../src/directory/serial.ts';
import { directoryStatus } from '../../src/directory/status.ts';
import type { Services } from '../../src/http/services.ts';
import { openTestApp, type TestApp } from './app.ts';
import { asSuperuser } from './policy-tables.ts';
import { TEST_SCHEME } from './tenant.ts';

interface ScimAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a SCIM client would get
  readonly json: any;
}

export interface ScimApp extends TestApp {
  /** A request as the provisioning client. */
  readonly scim: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<ScimAnswer>;
  readonly as: (account: string) => ScimApp['scim'];
  /** Rows of the database, whatever row-level security says. */
  readonly rows: <R>(query: string) => Promise<readonly R[]>;
  readonly user: (userName: string, more?: object) => Promise<string>;
  readonly group: (displayName: string, members?: readonly string[]) => Promise<string>;
}

const adminParts = ({ database, log: audit }: TestApp['store']) => ({ database, audit, scheme: TEST_SCHEME });

/** The real application, in which the service `agent` provisions the source `entra` for the issuer `partners`. */
export async function openScimApp(
  subjectAttribute: SubjectAttribute = 'externalId',
  more: readonly ScimBinding[] = [],
): Promise<ScimApp> {
  const client = 'service:workforce|agent';
  const bindings = [
    { tenant: 'meridian', client, source: 'entra', issuer: 'partners', subjectAttribute },
    ...more,
  ];
  let opened: TestApp | undefined;
  const store = () => {
    if (opened === undefined) throw new Error('not open yet');
    return opened.store;
  };
  const parts = {
    get database() {
      return store().database;
    },
    get audit() {
      return store().log;
    },
    scheme: TEST_SCHEME,
    bindings,
    serial: new Serial(),
    newId: randomUUID,
  };
  const directory: Services['directory'] = {
    import: (caller, request) =>
      importDirectory({ ...adminParts(store()), provisioned: bindings }, caller, request),
    status: (caller) => directoryStatus(adminParts(store()), caller),
  };
  const app = await openTestApp((services) => ({ ...services, scim: scimService(parts), directory }));
  opened = app;
  const as: ScimApp['as'] = (account) => async (method, path, body, headers) => {
    const response = await fetch(`${app.url}/scim/v2${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await app.token(account)}`,
        ...(body !== undefined && { 'content-type': 'application/scim+json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      json: text === '' ? undefined : JSON.parse(text),
    };
  };
  const scim = as('agent');
  const made = async (path: string, body: object) => {
    const answer = await scim('POST', path, body);
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.json));
    return String(answer.json.id);
  };
  return {
    ...app,
    scim,
    as,
    rows: (query) => asSuperuser(store().database, query),
    user: (userName, fields = {}) => made('/Users', { userName, externalId: `oid-${userName}`, ...fields }),
    group: (displayName, members = []) =>
      made('/Groups', { displayName, members: members.map((value) => ({ value })) }),
  };
}
