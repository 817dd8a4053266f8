/** Which collections and aliases there are. */
import type { Schemas } from '@qdrant/js-client-rest';
import { garbledAnswer, type QdrantCalls } from './qdrant-calls.ts';
import type { QdrantNames } from './qdrant-names.ts';

export async function collectionNames(calls: QdrantCalls): Promise<readonly string[]> {
  const answer = (await calls.read('GET', '/collections')) as Partial<Schemas['CollectionsResponse']> | null;
  if (!Array.isArray(answer?.collections)) throw garbledAnswer();
  return answer.collections.map(({ name }) => name);
}

/** From alias to collection. */
export async function aliases(calls: QdrantCalls): Promise<ReadonlyMap<string, string>> {
  const answer = (await calls.read('GET', '/aliases')) as Partial<
    Schemas['CollectionsAliasesResponse']
  > | null;
  if (!Array.isArray(answer?.aliases)) throw garbledAnswer();
  return new Map(answer.aliases.map(({ alias_name, collection_name }) => [alias_name, collection_name]));
}

export async function liveGeneration(calls: QdrantCalls, names: QdrantNames): Promise<string | undefined> {
  return (await aliases(calls)).get(names.live);
}

/** Points aliases elsewhere, all of them in one step; searches see the old collection or the new one. */
export async function pointAliases(
  calls: QdrantCalls,
  targets: readonly (readonly [alias: string, collection: string])[],
): Promise<void> {
  await calls.write('POST', '/collections/aliases', {
    actions: targets.map(([alias_name, collection_name]) => ({
      create_alias: { alias_name, collection_name },
    })),
  } satisfies Schemas['ChangeAliasesOperation']);
}
