import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { BulkheadError, type FieldIssue } from '../errors.ts';

/** The issuers of the development identity provider, each with accounts and keys of its own. */
export const DEV_ISSUERS = ['workforce', 'partners'] as const;
export type DevIssuerName = (typeof DEV_ISSUERS)[number];

const issuer = z.enum(DEV_ISSUERS);
const account = z.string().regex(/^[^\s|\p{Cc}]{1,100}$/u, 'An account has no spaces and no bars.');
const principal = z
  .string()
  .regex(/^(everyone|(user|group|service):[a-z0-9][a-z0-9._-]*\|[^\s|][^|]*)$/, 'This is not a principal.');
/** ISO 8601 with a zone, read as milliseconds since 1970. */
const instant = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const validity = { from: instant.optional(), until: instant.optional() };
const names = z.array(z.string().min(1));

const userSchema = z.strictObject({
  account,
  issuer,
  name: z.string().min(1),
  title: z.string(),
  email: z.string(),
  acr: z.enum(['mfa', 'pwd']),
  status: z.enum(['active', 'left']).default('active'),
});

const memberSchema = z.union([
  principal.transform((name) => ({ principal: name, from: undefined, until: undefined })),
  z.strictObject({ principal, ...validity }),
]);

const directorySchema = z.strictObject({
  tenant: z.string().min(1),
  users: z.array(userSchema),
  groups: z.array(
    z.strictObject({
      id: principal.startsWith('group:'),
      name: z.string().min(1),
      members: z.array(memberSchema),
    }),
  ),
  services: z.array(
    z.strictObject({
      account,
      issuer,
      name: z.string().min(1).optional(),
      kind: z.enum(['service', 'agent']),
      ceiling: z
        .strictObject({ level: z.string(), compartments: names.default([]), containers: names })
        .optional(),
    }),
  ),
  clearances: z.array(
    z.strictObject({ principal, level: z.string(), compartments: names.default([]), ...validity }),
  ),
  roles: z.array(z.strictObject({ principal, container: z.string().min(1), rights: names, ...validity })),
});

/** People, groups, services and what they hold, for development. Instants are milliseconds since 1970. */
export type DevDirectory = z.infer<typeof directorySchema>;
export type DevUser = DevDirectory['users'][number];
export type DevService = DevDirectory['services'][number];

/**
 * Reads a directory file. A principal that is defined nowhere is refused: a misspelt deny would protect nothing.
 * @throws BulkheadError `unreadable_file`, or `config_invalid` with every problem found
 */
export async function loadDirectory(file: string): Promise<DevDirectory> {
  const result = directorySchema.safeParse(await readYaml(file));
  if (!result.success)
    throw invalid(
      file,
      result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
    );
  const issues = [...repeatedNames(result.data), ...unknownPrincipals(result.data)];
  if (issues.length > 0) throw invalid(file, issues);
  return result.data;
}

async function readYaml(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new BulkheadError('unreadable_file', `The directory ${file} could not be read.`, { cause });
  }
  try {
    return parse(text);
  } catch (cause) {
    throw new BulkheadError('config_invalid', `The directory ${file} is not valid YAML.`, { cause });
  }
}

function ownNames(directory: DevDirectory): { path: string; name: string }[] {
  return [
    ...directory.users.map((user, i) => ({
      path: `users.${i}`,
      name: `user:${user.issuer}|${user.account}`,
    })),
    ...directory.groups.map((group, i) => ({ path: `groups.${i}`, name: group.id })),
    ...directory.services.map((service, i) => ({
      path: `services.${i}`,
      name: `service:${service.issuer}|${service.account}`,
    })),
  ];
}

/** A service and a user of one issuer may not share an account: their tokens would have the same `sub`. */
function repeatedNames(directory: DevDirectory): FieldIssue[] {
  const seen = new Set<string>();
  return ownNames(directory).flatMap(({ path, name }) => {
    const key = name.replace(/^(user|service):/, 'account:');
    if (seen.has(key)) return [{ path, message: `${name} is already defined.` }];
    seen.add(key);
    return [];
  });
}

function unknownPrincipals(directory: DevDirectory): FieldIssue[] {
  const known = new Set(['everyone', ...ownNames(directory).map(({ name }) => name)]);
  const used = [
    ...directory.groups.flatMap((group, i) =>
      group.members.map((member, j) => ({ path: `groups.${i}.members.${j}`, name: member.principal })),
    ),
    ...directory.clearances.map((held, i) => ({ path: `clearances.${i}.principal`, name: held.principal })),
    ...directory.roles.map((role, i) => ({ path: `roles.${i}.principal`, name: role.principal })),
  ];
  return used
    .filter(({ name }) => !known.has(name))
    .map(({ path, name }) => ({ path, message: `${name} is not defined in this directory.` }));
}

function invalid(file: string, issues: readonly FieldIssue[]): BulkheadError {
  const [first] = issues;
  const where = first === undefined ? '' : ` First problem: ${first.path}: ${first.message}`;
  return new BulkheadError('config_invalid', `The directory ${file} is not valid.${where}`, { issues });
}
