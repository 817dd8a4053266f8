/** The specification in fixtures/policy, read for the tests: cases, whole visible sets, receipts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { type DevDirectory, loadDirectory } from '../../src/dev/load-directory.ts';
import { type Instant, instant } from '../../src/policy/ids.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const FOLDER = join(FIXTURES, 'policy');

const who = {
  subject: z.string(),
  actor: z.string().optional(),
  acr: z.string().optional(),
  authAgeSeconds: z.number().optional(),
  at: z.iso.datetime().transform((text) => instant(Date.parse(text))),
};
const caseSchema = z.strictObject({
  name: z.string(),
  ...who,
  document: z.string(),
  decision: z.enum(['allow', 'deny', 'stepUp']),
  reason: z.string().optional(),
});
const visibleSetSchema = z.strictObject({ ...who, visible: z.array(z.string()) });
const receiptSchema = z.strictObject({
  ...who,
  question: z.string(),
  receipt: z.strictObject({
    subject: z.string(),
    actor: z.string().nullable(),
    outcome: z.enum(['released', 'nothing', 'refused']),
    includes: z.array(z.string()),
    excludes: z.array(z.string()),
  }),
});
const fileSchema = z.strictObject({
  cases: z.array(caseSchema).default([]),
  visibleSets: z.array(visibleSetSchema).default([]),
  receipts: z.array(receiptSchema).default([]),
});

/** Who asks, how strongly signed in, and when. */
export interface Asker {
  readonly subject: string;
  readonly actor?: string | undefined;
  /** The account's own when absent. */
  readonly acr?: string | undefined;
  /** 60 when absent. */
  readonly authAgeSeconds?: number | undefined;
  readonly at: Instant;
}

export type PolicyCase = z.infer<typeof caseSchema>;
export type VisibleSetCase = z.infer<typeof visibleSetSchema>;
export type ReceiptCase = z.infer<typeof receiptSchema>;

interface CompanyPolicy {
  /** Each file's cases under what its first line says it is about. */
  readonly chapters: readonly { readonly title: string; readonly cases: readonly PolicyCase[] }[];
  readonly visibleSets: readonly VisibleSetCase[];
  readonly receipts: readonly ReceiptCase[];
}

export function readCompanyPolicy(): CompanyPolicy {
  const files = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => {
      const text = readFileSync(join(FOLDER, name), 'utf8');
      return { title: `${name}: ${/^# (.*)/.exec(text)?.[1] ?? ''}`, ...fileSchema.parse(parse(text)) };
    });
  return {
    chapters: files.filter(({ cases }) => cases.length > 0).map(({ title, cases }) => ({ title, cases })),
    visibleSets: files.flatMap(({ visibleSets }) => visibleSets),
    receipts: files.flatMap(({ receipts }) => receipts),
  };
}

/** `who [through actor] [acr] at time`, as a test's name says it. */
export function describeAsker({ subject, actor, acr, at }: Asker): string {
  const through = actor === undefined ? '' : ` through ${actor}`;
  const strength = acr === undefined ? '' : ` by ${acr}`;
  return `${subject}${through}${strength} on ${new Date(at).toISOString().slice(0, 10)}`;
}

/** The names that the globs leave, applied in order; `!` removes, and `**` ends a pattern. */
export function expandGlobs(globs: readonly string[], names: Iterable<string>): readonly string[] {
  const all = [...names];
  const left = new Set<string>();
  for (const glob of globs) {
    const removes = glob.startsWith('!');
    const pattern = removes ? glob.slice(1) : glob;
    const hits = all.filter((name) =>
      pattern.endsWith('/**') ? name.startsWith(pattern.slice(0, -2)) : name === pattern,
    );
    if (hits.length === 0) throw new Error(`The pattern ${glob} matches nothing.`);
    for (const name of hits) removes ? left.delete(name) : left.add(name);
  }
  return [...left].sort();
}

export function readCompanyDirectory(): Promise<DevDirectory> {
  return loadDirectory(join(FIXTURES, 'company/directory.yaml'));
}

/** The verified caller that this asker's token would have made. */
export function callerOf(directory: DevDirectory, asker: Asker): CallerIdentity {
  const user = directory.users.find(({ account }) => account === asker.subject);
  return {
    tenant: directory.tenant,
    user: principalOf(directory, asker.subject),
    tokenGroups: [],
    actor: asker.actor === undefined ? undefined : principalOf(directory, asker.actor),
    acr: asker.acr ?? user?.acr,
    authTime: instant(asker.at - (asker.authAgeSeconds ?? 60) * 1000),
  };
}

function principalOf({ users, services }: DevDirectory, account: string): string {
  const user = users.find((candidate) => candidate.account === account);
  if (user !== undefined) return `user:${user.issuer}|${account}`;
  const service = services.find((candidate) => candidate.account === account);
  if (service === undefined) throw new Error(`There is no account ${account}.`);
  return `service:${service.issuer}|${account}`;
}
