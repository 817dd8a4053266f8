/** The shapes that requests are made of. Every string is bounded, well-formed and free of NUL. */
import { z } from '@hono/zod-openapi';
import type { FieldIssue } from '../errors.ts';
import type { AccessFields } from '../ingest/parsers/access-fields.ts';
import { parsePrincipal } from '../policy/principal.ts';

type AccessEntry = AccessFields['entries'][number];

// A lone surrogate cannot be written as UTF-8, and Postgres holds no NUL.
const UNSTORABLE = /[\0\p{Surrogate}]/u;

export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** @param max UTF-16 code units */
export function plainText(max: number) {
  return z
    .string()
    .min(1)
    .max(max)
    .refine((text) => !UNSTORABLE.test(text), { message: 'must not hold NUL or a lone surrogate' });
}

export const principalKey = plainText(400).refine((text) => parsePrincipal(text) !== undefined, {
  message: 'must be user:<issuer>|<id>, group:<source>|<id>, service:<issuer>|<client> or everyone',
});

export const containerPath = plainText(1_000).regex(/^\//, 'must begin with a slash');

/** First instant of the year 1: before it, Postgres and ISO 8601 count differently. */
const EARLIEST = Date.parse('0001-01-01T00:00:00Z');

/** ISO 8601, read as milliseconds since 1970; a date alone is its midnight in UTC. */
export const instantText = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })], {
    error: 'must be an ISO 8601 date, or a date and time with a zone',
  })
  .refine((text) => Date.parse(text) >= EARLIEST, { message: 'is too early' })
  .transform((text) => Date.parse(text))
  .openapi({ type: 'string', format: 'date-time', example: '2026-11-21T09:00:00Z' });

export const labelName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a lower-case name');
export const compartments = z.array(labelName).max(64).default([]);

export const bounds = { from: instantText.optional(), until: instantText.optional() };

/** The form of an entry in `.acl.yaml` files too. */
export const entryBody = z
  .union(
    [z.strictObject({ allow: principalKey, ...bounds }), z.strictObject({ deny: principalKey, ...bounds })],
    {
      error: (issue) =>
        issue.code === 'invalid_union'
          ? 'must be one allow or one deny of a principal, with from and until at most'
          : undefined,
    },
  )
  .refine(inOrder, { message: 'must begin before it ends' })
  .transform(
    ({ from, until, ...who }): AccessEntry => ({
      ...('allow' in who
        ? { principal: who.allow, effect: 'allow' }
        : { principal: who.deny, effect: 'deny' }),
      ...toBounds({ from, until }),
    }),
  )
  .openapi('Entry', { example: { allow: 'group:workforce|hr', until: '2027-01-01T00:00:00Z' } });

export const entries = z.array(entryBody).max(1_000);

export function inOrder({ from, until }: { from?: number | undefined; until?: number | undefined }): boolean {
  return from === undefined || until === undefined || from < until;
}

export function toBounds({ from, until }: { from?: number | undefined; until?: number | undefined }) {
  return {
    ...(from !== undefined && { validFrom: from }),
    ...(until !== undefined && { validUntil: until }),
  };
}

/** Validity as it is sent back. */
export function boundsView({ validFrom, validUntil }: { validFrom?: number; validUntil?: number }) {
  return {
    ...(validFrom !== undefined && { from: new Date(validFrom).toISOString() }),
    ...(validUntil !== undefined && { until: new Date(validUntil).toISOString() }),
  };
}

/** The same of a stored row, where `null` is unbounded. */
export function storedBoundsView({ from, until }: { from: number | null; until: number | null }) {
  return boundsView({
    ...(from !== null && { validFrom: from }),
    ...(until !== null && { validUntil: until }),
  });
}

/** A whole number in a query string; nothing but digits is one. */
export function queryInteger(low: number, high: number, fallback: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .refine((n) => n >= low && n <= high, { message: `must be from ${low} to ${high}` })
    .default(fallback)
    .openapi({ type: 'integer', minimum: low, maximum: high, default: fallback });
}

export const page = { cursor: plainText(200).optional(), limit: queryInteger(1, 200, 50) };

/** Without the absent fields, which `exactOptionalPropertyTypes` keeps apart from undefined ones. */
export function present<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

const MAX_ISSUES = 50;
const MAX_PATH = 200;

/** Each problem with its dotted path; an unknown field is named itself, not the object around it. */
export function issuesOf(error: z.ZodError): readonly FieldIssue[] {
  const issues = error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: dotted([...issue.path, key]), message: 'is not a field here' }))
      : [{ path: dotted(issue.path), message: issue.message }],
  );
  return issues.slice(0, MAX_ISSUES);
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.').slice(0, MAX_PATH);
}
