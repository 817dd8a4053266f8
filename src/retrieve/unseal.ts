/** Texts of levels that ask for encryption, opened when all enforcers have let them through and not before. */
import { NO_SEALER, type Sealer } from '../crypto/sealer.ts';
import { isBulkheadError } from '../errors.ts';
import type { TenantId } from '../policy/ids.ts';
import type { StoredPassage } from '../store/passages.ts';

export interface UnsealParts {
  /** Of the role `retrieve`; absent = no level asks for encryption. */
  readonly sealer?: Sealer | undefined;
  /** Told of each passage that was withheld because it did not open. */
  readonly onUnopened?: ((passage: UnopenedPassage) => void) | undefined;
}

/** A ciphertext that was changed, or that stands in another row than it was written for. */
export interface UnopenedPassage {
  readonly tenant: TenantId;
  readonly document: string;
  readonly version: number;
  readonly ordinal: number;
}

/**
 * Those among the passages that open, with their texts. One that does not is withheld, and somebody hears of it.
 * @throws BulkheadError `keys_unavailable`: then nothing can be said of any
 */
export async function unseal<T extends { readonly passage: StoredPassage }>(
  parts: UnsealParts,
  tenant: TenantId,
  judged: readonly T[],
): Promise<readonly T[]> {
  if (judged.every(({ passage }) => passage.sealed === undefined)) return judged;
  const opened = await Promise.all(judged.map((one) => unsealOne(parts, tenant, one)));
  return opened.filter((one) => one !== undefined);
}

async function unsealOne<T extends { readonly passage: StoredPassage }>(
  { sealer = NO_SEALER, onUnopened }: UnsealParts,
  tenant: TenantId,
  judged: T,
): Promise<T | undefined> {
  const { passage } = judged;
  const { sealed, document, version, ordinal } = passage;
  if (sealed === undefined) return judged;
  const row = { tenant, document, version, ordinal };
  try {
    return { ...judged, passage: { ...passage, ...(await sealer.open(row, sealed)), sealed: undefined } };
  } catch (error) {
    if (!isBulkheadError(error) || error.code !== 'decryption_failed') throw error;
    onUnopened?.(row);
    return undefined;
  }
}
