/** The access fields that front matter, `.acl.yaml` files, rows and request bodies share. */
import { z } from 'zod';
import { BulkheadError, type FieldIssue } from '../../errors.ts';
import { parsePrincipal } from '../../policy/principal.ts';
import { parseYamlMapping } from './yaml.ts';

interface AccessEntry {
  /** Text form, see `policy/principal.ts`. */
  readonly principal: string;
  readonly effect: 'allow' | 'deny';
  /** Milliseconds since 1970-01-01T00:00:00Z; the interval is half-open. */
  readonly validFrom?: number;
  readonly validUntil?: number;
}

export interface AccessFields {
  /** A level's name; whether it is configured is not checked here, nor are compartments and principals. */
  readonly level?: string;
  readonly compartments: readonly string[];
  readonly inherits?: boolean;
  readonly entries: readonly AccessEntry[];
}

const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a lower-case name');
const principal = z.string().refine((text) => parsePrincipal(text) !== undefined, {
  message: 'must be user:<issuer>|<id>, group:<source>|<id>, service:<issuer>|<client> or everyone',
});
const date = z.iso
  .datetime({ offset: true, error: 'must be an ISO 8601 date and time with a zone' })
  .transform((text) => Date.parse(text));
const bounds = { from: date.optional(), until: date.optional() };

const entry = z
  .union([z.strictObject({ allow: principal, ...bounds }), z.strictObject({ deny: principal, ...bounds })], {
    error: (issue) => (issue.code === 'invalid_union' ? 'must be one allow or one deny' : undefined),
  })
  .refine(({ from, until }) => from === undefined || until === undefined || from < until, {
    message: 'must begin before it ends',
  })
  .transform(
    ({ from, until, ...who }): AccessEntry => ({
      ...('allow' in who
        ? { principal: who.allow, effect: 'allow' }
        : { principal: who.deny, effect: 'deny' }),
      ...(from !== undefined && { validFrom: from }),
      ...(until !== undefined && { validUntil: until }),
    }),
  );

const shape = {
  level: name.optional(),
  compartments: z
    .array(name)
    .max(64)
    .default([])
    .transform((names) => [...new Set(names)]),
  inherits: z.boolean().optional(),
  entries: z.array(entry).max(1_000).default([]),
};
const KEYS = Object.keys(shape);

/** Refuses keys that it does not know. */
const accessFieldsSchema = z.strictObject(shape).transform(
  ({ level, inherits, ...rest }): AccessFields => ({
    ...rest,
    ...(level !== undefined && { level }),
    ...(inherits !== undefined && { inherits }),
  }),
);

/** Misspellings and synonyms: passed over, each would leave a document wider than its author meant. */
const MISTAKABLE: ReadonlySet<string> = new Set([
  ...['levels', 'label', 'labels', 'classification', 'sensitivity'],
  ...['compartment', 'inherit', 'entry', 'acl', 'access', 'allow', 'deny'],
]);

/**
 * The access fields among other keys, as front matter, rows and request bodies carry them. Other keys are
 * passed over, but not those that are easily mistaken for an access field.
 * @throws BulkheadError `unparsable`, with an issue for each bad field
 */
export function readAccessFields(raw: unknown): AccessFields {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return parseWith(raw);
  const issues = Object.keys(raw)
    .filter(isMistakable)
    .map((path) => ({ path, message: 'is not an access field' }));
  if (issues.length > 0) throw refusal(issues);
  return parseWith(Object.fromEntries(Object.entries(raw).filter(([key]) => KEYS.includes(key))));
}

/**
 * The content of an `.acl.yaml` file. Unknown keys are refused.
 * @throws BulkheadError `unparsable`, with an issue for each bad field
 */
export function parseAclFile(text: string): AccessFields {
  return parseWith(parseYamlMapping(text));
}

function isMistakable(key: string): boolean {
  const plain = key.trim().toLowerCase();
  return MISTAKABLE.has(plain) || (KEYS.includes(plain) && !KEYS.includes(key));
}

function parseWith(raw: unknown): AccessFields {
  const result = accessFieldsSchema.safeParse(raw);
  if (result.success) return result.data;
  throw refusal(result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })));
}

function refusal(issues: readonly FieldIssue[]): BulkheadError {
  const first = issues[0];
  const place = first?.path ? ` ("${first.path}" ${first.message})` : '';
  return new BulkheadError('unparsable', `The access fields are not valid${place}.`, { issues });
}
