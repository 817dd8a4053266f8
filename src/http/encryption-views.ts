import { z } from '@hono/zod-openapi';
import { progressLine } from './progress-stream.ts';

const count = z.int().nonnegative();

export const encryptionView = z.strictObject({
  request_id: z.string(),
  /** The levels whose texts are kept encrypted. */
  levels: z.array(z.string()),
  /** The key that wraps data keys now; `null` without a key file. */
  wrapped_with: z.string().nullable(),
  data_keys: z.array(
    z.strictObject({
      level: z.string(),
      purpose: z.enum(['text', 'terms']),
      state: z.enum(['current', 'old']),
      wrapped_with: z.string(),
      passages: count,
      /** Sealed under it so far, counted ahead. */
      messages: count,
      created_at: z.iso.datetime(),
    }),
  ),
  /** Passages that are not yet as their level asks. */
  waiting: count,
});

export const rotatedView = z.strictObject({ rewrapped: count, retired: count, waiting: count });
export const rotateLine = progressLine(rotatedView);
