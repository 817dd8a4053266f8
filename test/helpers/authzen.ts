/** The sample policies of AuthZEN's interoperability scenarios, in Bulkhead's terms. */
import { readFileSync } from 'node:fs';
import type { Vocabulary } from '../../src/admin/decision-vocabulary.ts';
import { type DirectoryContent, provisionPeople } from '../../src/ingest/provision.ts';
import { instant } from '../../src/policy/ids.ts';
import { openTestApp, type TestApp } from './app.ts';

type Named = { readonly type: string; readonly id: string };

export interface EvaluationCase {
  readonly request: {
    readonly subject: Named;
    readonly action: { readonly name: string };
    readonly resource: Named;
  };
  readonly expected: boolean;
}

export interface BatchCase {
  readonly request: Omit<EvaluationCase['request'], 'resource'> & {
    readonly evaluations: readonly { readonly resource: Named }[];
  };
  readonly expected: readonly { readonly decision: boolean }[];
}

export interface SearchCase {
  readonly request: {
    readonly subject: { readonly type: string; readonly id?: string };
    readonly action?: { readonly name: string };
    readonly resource: { readonly type: string; readonly id?: string };
  };
  readonly expected: { readonly results: readonly (Named | { readonly name: string })[] };
}

interface SearchData {
  readonly users: readonly { readonly id: string; readonly role: string; readonly department: string }[];
  readonly records: readonly { readonly id: string; readonly department: string; readonly owner: string }[];
}

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../fixtures/authzen/${name}.json`, import.meta.url), 'utf8'));

export const TODO = read<{ evaluation: readonly EvaluationCase[]; evaluations: readonly BatchCase[] }>(
  'todo',
);
export const SEARCHES = {
  subject: read<readonly SearchCase[]>('search-subject'),
  resource: read<readonly SearchCase[]>('search-resource'),
  action: read<readonly SearchCase[]>('search-action'),
};
const DATA = read<SearchData>('search-data');

/** Of the todo scenario, by the `sub` of their tokens. */
export const PEOPLE: Readonly<Record<string, string>> = {
  CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs: 'rick',
  CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs: 'morty',
  CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs: 'summer',
  CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs: 'beth',
  CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs: 'jerry',
};

/** Held by editors alone: a todo's owner changes it only as an editor. */
const EDITING = 'board';

const ISSUER = 'interop';
const user = (id: string) => `user:${ISSUER}|${id}`;
const group = (id: string) => `group:${ISSUER}|${id}`;
const idOf = (name: string) => Object.entries(PEOPLE).find(([, who]) => who === name)?.[0] ?? name;

const on = (folder: string) => ({ container: `${folder}/{id}`, right: 'read' as const });

export const VOCABULARY: Vocabulary = {
  subjectIssuer: ISSUER,
  resources: {
    user: { actions: { can_read_user: on('/todo/users') } },
    todo: {
      actions: {
        can_read_todos: on('/todo/read'),
        can_create_todo: on('/todo/create'),
        can_update_todo: on('/todo/update'),
        can_delete_todo: on('/todo/delete'),
      },
    },
    record: {
      actions: { view: on('/records/view'), edit: on('/records/edit'), delete: on('/records/delete') },
    },
  },
};

/** An application whose caller `root`, as an enforcement point, oversees both scenarios. */
export async function openInteropApp(): Promise<TestApp> {
  const app = await openTestApp(undefined, { vocabulary: VOCABULARY });
  const { database, admin } = app.store;
  await provisionPeople(database, admin.context, DIRECTORY, instant(Date.now()));
  for (const container of [...todoContainers(), ...recordContainers()]) {
    const { status, text } = await app.ask('root', 'POST', '/v1/containers', container);
    if (status !== 201) throw new Error(text);
  }
  return app;
}

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  viewers: [user(idOf('beth')), user(idOf('jerry')), group('editors')],
  editors: [user(idOf('morty')), user(idOf('summer')), group('admins'), group('evil-geniuses')],
  admins: [user(idOf('rick'))],
  'evil-geniuses': [user(idOf('rick'))],
  managers: DATA.users.filter(({ role }) => role === 'manager').map(({ id }) => user(id)),
  ...byDepartment('department', () => true),
  ...byDepartment('managers-of', ({ role }) => role === 'manager'),
};

function byDepartment(prefix: string, belongs: (one: SearchData['users'][number]) => boolean) {
  const departments = [...new Set(DATA.users.map(({ department }) => department))];
  return Object.fromEntries(
    departments.map((name) => [
      `${prefix}-${name}`,
      DATA.users.filter((one) => one.department === name && belongs(one)).map(({ id }) => user(id)),
    ]),
  );
}

const DIRECTORY: DirectoryContent = {
  users: [...Object.keys(PEOPLE), ...DATA.users.map(({ id }) => id)].map((account) => ({
    account,
    issuer: ISSUER,
    name: PEOPLE[account] ?? account,
    email: `${account}@interop.example`,
    status: 'active',
  })),
  groups: Object.entries(GROUPS).map(([id, members]) => ({
    id: group(id),
    name: id,
    members: members.map((principal) => ({ principal })),
  })),
  services: [],
  clearances: [
    { principal: group('editors'), level: 'internal', compartments: [EDITING] },
    { principal: 'user:workforce|root', level: 'internal', compartments: [EDITING] },
  ],
  roles: [],
};

function todoContainers(): readonly object[] {
  const requests = [...TODO.evaluation, ...TODO.evaluations.flatMap(eachOf)].map(({ request }) => request);
  const of = (action: string) =>
    new Map(
      requests.filter((one) => one.action.name === action).map(({ resource }) => [resource.id, resource]),
    );
  const children = (folder: string, action: string, isOwned: boolean) =>
    [...of(action).values()].map((resource) => ({
      path: `${folder}/${resource.id}`,
      entries: isOwned ? [{ allow: user(idOf(ownerOf(resource))) }] : [],
    }));
  return [
    { path: '/todo', entries: [] },
    { path: '/todo/users', entries: [{ allow: group('viewers') }] },
    ...children('/todo/users', 'can_read_user', false),
    { path: '/todo/read', entries: [{ allow: group('viewers') }] },
    ...children('/todo/read', 'can_read_todos', false),
    { path: '/todo/create', entries: [{ allow: group('editors') }] },
    ...children('/todo/create', 'can_create_todo', false),
    { path: '/todo/update', compartments: [EDITING], entries: [{ allow: group('evil-geniuses') }] },
    ...children('/todo/update', 'can_update_todo', true),
    { path: '/todo/delete', compartments: [EDITING], entries: [{ allow: group('admins') }] },
    ...children('/todo/delete', 'can_delete_todo', true),
  ];
}

function eachOf({ request }: BatchCase): readonly Pick<EvaluationCase, 'request'>[] {
  const { evaluations, ...defaults } = request;
  return evaluations.map(({ resource }) => ({ request: { ...defaults, resource } }));
}

/** The cases tell a todo's owner beside it; Bulkhead knows it by itself, as the first part of their address. */
function ownerOf(resource: Named): string {
  const { properties } = resource as { readonly properties?: { readonly ownerID?: string } };
  return properties?.ownerID?.split('@')[0] ?? '';
}

function recordContainers(): readonly object[] {
  const each = (folder: string, others: (department: string) => readonly string[]) =>
    DATA.records.map(({ id, owner, department }) => ({
      path: `${folder}/${id}`,
      entries: [user(owner), ...others(department)].map((allow) => ({ allow })),
    }));
  return [
    { path: '/records', entries: [] },
    { path: '/records/view', entries: [{ allow: group('managers') }] },
    ...each('/records/view', (department) => [group(`department-${department}`)]),
    { path: '/records/edit', entries: [] },
    ...each('/records/edit', (department) => [group(`managers-of-${department}`)]),
    { path: '/records/delete', entries: [] },
    ...each('/records/delete', () => []),
  ];
}
