import { z } from 'zod';

/** `|` and the space end a name inside a principal. */
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/);

const scimSchema = z.strictObject({
  tenant: z.string().min(1),
  /** Whose credentials these are: it needs an active account of this name, and no right at all. */
  client: z
    .string()
    .regex(/^service:[a-z0-9][a-z0-9._-]*\|[^\s|][^|]*$/, 'must be service:<issuer>|<client>'),
  /** What the client vouches for; names its groups, `group:<source>|<id>`. */
  source: name,
  /** The issuer whose tokens its people bring, `user:<issuer>|<subject>`. */
  issuer: name,
  /** Which attribute of a SCIM user is the subject in those tokens. It never changes for a user. */
  subjectAttribute: z.enum(['externalId', 'userName', 'id']).default('externalId'),
});

/** Who keeps the directory, in `bulkhead.yaml`. */
export const directorySchema = z
  .strictObject({ scim: z.array(scimSchema).max(100).default([]) })
  .refine(({ scim }) => isDistinct(scim.map(({ tenant, client }) => `${tenant} ${client}`)), {
    message: 'A client is bound to one source.',
    path: ['scim'],
  })
  .refine(({ scim }) => isDistinct(scim.map(({ tenant, source }) => `${tenant} ${source}`)), {
    message: 'A source is kept by one client.',
    path: ['scim'],
  })
  .prefault({});

export type DirectoryConfig = z.infer<typeof directorySchema>;

function isDistinct(keys: readonly string[]): boolean {
  return new Set(keys).size === keys.length;
}
