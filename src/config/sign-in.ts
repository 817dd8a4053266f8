/** How people sign in to the pages. */
import { z } from 'zod';
import { readSecret } from './secret-file.ts';

const clientSchema = z.strictObject({
  clientId: z.string().min(1),
  clientSecretFile: z.string().min(1).optional(),
  /** Default: `openid`. Some providers issue access tokens for an API only when its scope is asked for. */
  scope: z
    .string()
    .regex(/(^| )openid( |$)/, 'it must contain openid')
    .optional(),
  /** Asks for a refresh token, so that a session outlives the access token. */
  offlineAccess: z.boolean().default(false),
});

export const signInSchema = clientSchema
  .partial({ clientId: true })
  .extend({
    /** By name of the issuer, where it knows this service by another client than the one above. */
    clients: z.record(z.string().min(1), clientSchema).default({}),
    idleMinutes: z.number().int().min(1).max(1_440).default(30),
    absoluteHours: z.number().int().min(1).max(168).default(8),
  })
  .refine(({ clientId, clients }) => clientId !== undefined || Object.keys(clients).length > 0, {
    message: 'Give a clientId, or clients by the name of their issuer.',
  });

interface ClientConfig {
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  readonly scope: string | undefined;
  readonly offlineAccess: boolean;
}

export interface SignInConfig {
  /** For every issuer that `clients` does not have; absent = nobody signs in with those. */
  readonly client: ClientConfig | undefined;
  readonly clients: Readonly<Record<string, ClientConfig>>;
  readonly idleMinutes: number;
  readonly absoluteHours: number;
}

/**
 * @param beside the configuration file, which relative paths of secrets start from
 * @throws BulkheadError `config_invalid` for a secret that cannot be read
 */
export function signInOf(parsed: z.infer<typeof signInSchema>, beside: string): SignInConfig {
  const { clientId, clients, idleMinutes, absoluteHours, ...rest } = parsed;
  const client = (given: z.infer<typeof clientSchema>): ClientConfig => ({
    clientId: given.clientId,
    clientSecret: readSecret(given.clientSecretFile, beside),
    scope: given.scope,
    offlineAccess: given.offlineAccess,
  });
  return {
    client: clientId === undefined ? undefined : client({ ...rest, clientId }),
    clients: Object.fromEntries(Object.entries(clients).map(([name, given]) => [name, client(given)])),
    idleMinutes,
    absoluteHours,
  };
}
