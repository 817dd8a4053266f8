import { BulkheadError } from '../errors.ts';
import { ENTITY_KINDS, type EntityKind } from './entities.ts';

/** Which kinds of entities each level takes out. Ranks are positions in the label scheme. */
export interface RedactionPolicy {
  /** Taken out of what is returned. */
  shownWithout(rank: number): ReadonlySet<EntityKind>;
  /** Taken out before embedding and term weighting, so that no search can confirm one. */
  indexedWithout(rank: number): ReadonlySet<EntityKind>;
}

interface LevelRules {
  readonly name: string;
  readonly redact: readonly string[];
  readonly alwaysMask: readonly string[];
}

/**
 * Reads the rules of the configured levels, lowest first. What is never indexed is never shown either. A rank
 * outside the scheme has every kind taken out.
 * @throws BulkheadError `config_invalid` for a kind that no recognizer finds
 */
export function redactionPolicy(levels: readonly LevelRules[]): RedactionPolicy {
  const shown = levels.map((level) => toKinds(level, [...level.redact, ...level.alwaysMask]));
  const indexed = levels.map((level) => toKinds(level, level.alwaysMask));
  const everything: ReadonlySet<EntityKind> = new Set(ENTITY_KINDS);
  return {
    shownWithout: (rank) => shown[rank] ?? everything,
    indexedWithout: (rank) => indexed[rank] ?? everything,
  };
}

function toKinds(level: LevelRules, names: readonly string[]): ReadonlySet<EntityKind> {
  return new Set(
    names.map((name) => {
      const kind = ENTITY_KINDS.find((known) => known === name);
      if (kind === undefined)
        throw new BulkheadError(
          'config_invalid',
          `The level "${level.name}" redacts "${name}", which is none of ${ENTITY_KINDS.join(', ')}.`,
        );
      return kind;
    }),
  );
}
