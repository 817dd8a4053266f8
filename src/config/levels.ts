import { z } from 'zod';

const kinds = z.array(z.string().min(1)).default([]);
const seconds = z.number().int().positive();

/** One sensitivity level of `bulkhead.yaml`; their order in the list is their order. */
const levelSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'A level is named in a–z, 0–9 and dash.'),
  /** Kinds of personal data and secrets taken out of what is returned. */
  redact: kinds,
  /** Kinds taken out before embedding and term weighting too, so that a search cannot confirm one. */
  alwaysMask: kinds,
  /** Accepted authentication context classes (`acr`). */
  acr: z.array(z.string().min(1)).min(1).optional(),
  maxAuthAgeSeconds: seconds.optional(),
  maxDirectoryAgeSeconds: seconds.optional(),
  /** Always searched exactly, so that timing and recall tell nothing. */
  silent: z.boolean().default(false),
  /** Text is encrypted at rest, under a data key of its own; needs BULKHEAD_KEY_FILE. */
  encrypt: z.boolean().default(false),
});

export const policySchema = z
  .strictObject({
    levels: z.array(levelSchema).min(1).max(16),
    compartments: z
      .array(z.string().regex(/^[a-z][a-z0-9-]{0,30}$/))
      .max(64)
      .default([]),
  })
  .refine((policy) => new Set(policy.levels.map((level) => level.name)).size === policy.levels.length, {
    message: 'Two levels have the same name.',
    path: ['levels'],
  });

export type PolicyConfig = z.infer<typeof policySchema>;

/** What holds without a `bulkhead.yaml` of one's own. */
const SECRETS = ['card', 'iban', 'us-ssn', 'api-key'];
const PERSONAL = ['email', 'phone', ...SECRETS];
export const DEFAULT_POLICY = {
  levels: ['public', 'internal', 'confidential', 'restricted'].map((name, rank) => ({
    name,
    redact: rank === 0 ? SECRETS : PERSONAL,
    alwaysMask: SECRETS,
  })),
  compartments: [],
};
