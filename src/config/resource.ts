import { z } from 'zod';

/** What this service tells clients about itself as a protected resource (RFC 9728). */
export const resourceSchema = z
  .strictObject({
    /** The resource identifier that clients ask tokens for; absent: the public URL. */
    identifier: z
      .url({ protocol: /^https?$/ })
      .refine((url) => !url.includes('#') && !url.includes('?'), 'must have no query and no fragment')
      .optional(),
    name: z.string().min(1).max(200).optional(),
    documentation: z.url({ protocol: /^https?$/ }).optional(),
    /** Absent: the scopes that the issuers' `scopes` give rights to. */
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/))
      .max(100)
      .optional(),
  })
  .prefault({});

export type ResourceConfig = z.infer<typeof resourceSchema>;
