import { z } from 'zod';

export const auditSchema = z
  .strictObject({
    /**
     * The tenant whose log takes what nobody's tenant can be found for: refused callers without a valid token, failed
     * sign-ins with an issuer of several tenants. Needed only where there are several tenants.
     */
    strangers: z.string().min(1).optional(),
  })
  .prefault({});

export type AuditConfig = z.infer<typeof auditSchema>;
