/** Services that show a client certificate: whom each trust bundle vouches for. */
import { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import { readSecret } from './secret-file.ts';

/** SPIFFE-ID §2: a trust domain in lower case, and segments that are neither empty nor dots. */
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;

const rights = z
  .array(z.enum(['read', 'ingest', 'label', 'grant', 'audit', 'administer']))
  .min(1)
  .optional();
/** Of a principal, as in `service:<name>|<id>`; what the certificate is accepted by, where absent. */
const service = z
  .string()
  .regex(/^[^\s|\p{Cc}][^|\p{Cc}]{0,254}$/u, 'must be an id of at most 255 characters, without "|"')
  .optional();

const acceptSchema = z.union(
  [
    z.strictObject({
      spiffe: z.string().max(255).regex(SPIFFE, 'must be spiffe://<trust domain>/<path>'),
      service,
      rights,
    }),
    z.strictObject({ subject: z.string().min(1).max(255), service, rights }),
  ],
  { error: 'must be a spiffe id or a subject, with service and rights at most' },
);

const certificateSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  tenant: z.string().min(1),
  bundleFile: z.string().min(1),
  accept: z.array(acceptSchema).min(1).max(10_000),
});

export const servicesSchema = z.strictObject({ certificates: z.array(certificateSchema).default([]) });

/** One trust bundle, and the services whose certificates it vouches for. */
export interface CertificateSource {
  /** Takes the issuer's place in principals: `service:<name>|<id>`. */
  readonly name: string;
  readonly tenant: string;
  /** PEM, of the authorities. */
  readonly bundle: string;
  readonly accept: readonly z.output<typeof acceptSchema>[];
}

/**
 * With the bundles read.
 * @param issuers names of token issuers, whose principals are not to meet those of certificates
 * @throws BulkheadError `config_invalid`
 */
export function certificateSources(
  services: z.output<typeof servicesSchema> | undefined,
  issuers: readonly string[],
  file: string,
): readonly CertificateSource[] {
  if (issuers.includes(OF_KEYS)) throw taken(file, 'issuers', OF_KEYS);
  const names = new Set([...issuers, OF_KEYS]);
  return (services?.certificates ?? []).map(({ bundleFile, ...source }) => {
    if (names.has(source.name)) throw taken(file, 'services.certificates', source.name);
    names.add(source.name);
    return { ...source, bundle: readSecret(bundleFile, file) ?? '' };
  });
}

/** The issuer of principals that hold the limits of API keys. */
const OF_KEYS = 'key';

function taken(file: string, where: string, name: string): BulkheadError {
  return new BulkheadError(
    'config_invalid',
    `The configuration in ${file} is not valid. ${where}: the name "${name}" is taken.`,
  );
}
