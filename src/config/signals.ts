import { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import type { IssuerConfig } from './issuers.ts';
import { readSecret } from './secret-file.ts';

const DAY_SECONDS = 86_400;

/** One identity provider that says by itself what has become of its sessions and accounts (Shared Signals). */
const transmitterSchema = z.strictObject({
  /** Compared with `iss` of its security event tokens character by character. */
  issuer: z.string().min(1).max(512),
  jwksUri: z.url(),
  /** What its stream was made for. */
  audience: z.string().min(1).max(512),
  /** The tenant that its events are about. */
  tenant: z.string().min(1),
  /** Name of the configured issuer whose accounts and sessions it speaks of; it can say nothing about another's. */
  issuerName: z.string().min(1),
  /** What its events call that issuer; absent: as the issuer's own tokens do. */
  subjectIssuer: z.string().min(1).max(512).optional(),
  /** Which claim of that issuer's tokens the `sub` of its events repeats. */
  subjectClaim: z.string().min(1).default('sub'),
  algorithms: z.array(z.string()).min(1).default(['ES256', 'RS256', 'PS256', 'EdDSA']),
  /** A secret that its requests carry as a bearer token, beside the signature of each event. */
  bearerFile: z.string().min(1).optional(),
  /** Events older than that are refused: a transmitter that was down for longer needs a look. */
  maxAgeSeconds: z
    .number()
    .int()
    .min(60)
    .max(90 * DAY_SECONDS)
    .default(7 * DAY_SECONDS),
});

export const signalsSchema = z.array(transmitterSchema).max(100).default([]);

/** A transmitter as configured, its secret read. */
export interface SignalsConfig
  extends Omit<z.infer<typeof transmitterSchema>, 'bearerFile' | 'subjectIssuer'> {
  readonly subjectIssuer: string;
  readonly issuerKind: IssuerConfig['kind'];
  readonly bearer: string | undefined;
}

/**
 * @param beside the configuration file, which relative paths of secrets start from
 * @throws BulkheadError `config_invalid` for a secret that cannot be read, an issuer that is not configured or is not of
 *   the tenant, and two transmitters that events could not be told apart by
 */
export function signalsOf(
  parsed: z.infer<typeof signalsSchema>,
  issuers: readonly Pick<IssuerConfig, 'name' | 'tenant' | 'issuer' | 'kind'>[],
  beside: string,
): readonly SignalsConfig[] {
  const seen = new Set<string>();
  return parsed.map(({ bearerFile, subjectIssuer, ...transmitter }) => {
    const issuer = issuers.find(({ name }) => name === transmitter.issuerName);
    if (issuer === undefined || !tenantsOf(issuer).includes(transmitter.tenant))
      throw invalid(transmitter.issuer, 'speaks of an issuer that is not configured, or not of its tenant');
    const key = JSON.stringify([transmitter.issuer, transmitter.audience]);
    if (seen.has(key)) throw invalid(transmitter.issuer, 'has the issuer and the audience of another one');
    seen.add(key);
    return {
      ...transmitter,
      subjectIssuer: subjectIssuer ?? issuer.issuer,
      issuerKind: issuer.kind,
      bearer: readSecret(bearerFile, beside),
    };
  });
}

function tenantsOf({ tenant }: Pick<IssuerConfig, 'tenant'>): readonly string[] {
  return typeof tenant === 'string' ? [tenant] : Object.values(tenant.map);
}

function invalid(issuer: string, problem: string): BulkheadError {
  return new BulkheadError('config_invalid', `The transmitter of signals "${issuer}" ${problem}.`);
}
