import { z } from 'zod';

const RIGHTS = ['read', 'ingest', 'label', 'grant', 'audit', 'administer'] as const;

const word = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}]+$/u);

/** The path of a container in which `{id}`, once and as a whole segment, stands for the resource. */
const template = z
  .string()
  .min(1)
  .max(500)
  .refine(
    (path) => path.startsWith('/') && path.split('/').filter((segment) => segment === '{id}').length === 1,
    'must be a path that holds the segment {id} once',
  );

/**
 * Words of other applications (AuthZEN): which container stands for one of their resources, and which right on it for
 * an action. `document` and `container` are Bulkhead's own and mean what they mean.
 */
export const authzenSchema = z
  .strictObject({
    /** Whose people a subject is that is named by a bare id. */
    subjectIssuer: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/)
      .optional(),
    resources: z
      .record(
        word.refine((type) => type !== 'document' && type !== 'container', 'is a type of our own'),
        z.strictObject({
          actions: z.record(
            word,
            z.strictObject({ container: template, right: z.enum(RIGHTS).default('read') }),
          ),
        }),
      )
      .default({}),
  })
  .prefault({});

export type AuthzenConfig = z.infer<typeof authzenSchema>;
