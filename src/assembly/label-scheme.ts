import { createHash } from 'node:crypto';
import { canonicalJson } from '../audit/canonical-json.ts';
import type { Config } from '../config/config.ts';
import type { LabelScheme } from '../policy/label.ts';

type Policy = Config['policy'];

/** The levels and compartments of the configuration, with the digest of everything that it says about them. */
export function labelScheme(policy: Policy): LabelScheme {
  return {
    levels: policy.levels.map(({ name, silent, acr, maxAuthAgeSeconds, maxDirectoryAgeSeconds }, rank) => ({
      name,
      rank,
      silent,
      safeguards: { acr, maxAuthAgeSeconds, maxDirectoryAgeSeconds },
    })),
    compartments: new Set(policy.compartments),
    digest: schemeDigest(policy),
  };
}

/**
 * Of the policy as a whole and not of fields by name, so that a field that is added to it is in the digest too. The
 * order of levels is their meaning; in every other list it has none.
 */
function schemeDigest({ levels, compartments, ...rest }: Policy): string {
  const policy = { ...rest, levels: levels.map(withSortedLists), compartments: sorted(compartments) };
  return createHash('sha256').update(canonicalJson(policy)).digest('hex');
}

function withSortedLists(level: Policy['levels'][number]): Readonly<Record<string, unknown>> {
  const fields = Object.entries(level).map(([name, value]) => [
    name,
    Array.isArray(value) ? sorted(value) : value,
  ]);
  return Object.fromEntries(fields);
}

function sorted(list: readonly string[]): readonly string[] {
  return [...new Set(list)].sort();
}
