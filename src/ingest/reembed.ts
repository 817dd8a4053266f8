/** Another embedding model: a second collection is filled beside the live one, then the two change places. */
import { NO_SEALER, type Sealer } from '../crypto/sealer.ts';
import type { Embedder } from '../embed/embedder.ts';
import { BulkheadError } from '../errors.ts';
import { redact } from '../guard/output-redactor.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import { documentTerms } from '../index/terms.ts';
import type { IndexPoint, VectorCollections, VectorIndex } from '../index/vector-index.ts';
import type { TenantId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Database } from '../store/database.ts';
import { alone } from '../store/index-work.ts';
import { requireScheme } from '../store/level-scheme.ts';
import { type ChunkText, effectiveRanks, LiveChunks } from '../store/live-chunks.ts';
import { embeddingText } from './3-inspect.ts';
import { doctor } from './doctor.ts';

export interface ReembedOptions {
  readonly database: Database;
  /** Of this process: nothing is masked by it while the installation's is another. */
  readonly scheme: Pick<LabelScheme, 'digest'>;
  readonly collections: VectorCollections;
  readonly embedder: Pick<Embedder, 'fingerprint' | 'dimension' | 'embedPassages'>;
  readonly redaction: Pick<RedactionPolicy, 'indexedWithout'>;
  /** Of the role `indexer`; absent = no level asks for encryption. */
  readonly sealer?: Sealer | undefined;
  /** Those to embed. The live collection serves all, so the switch waits for the others. */
  readonly tenants: readonly Tenant[];
  readonly onProgress: (progress: { readonly done: number; readonly left: number }) => void;
}

interface Tenant {
  readonly tenant: TenantId;
}

const CHUNKS_PER_STEP = 32;

/**
 * Embeds every chunk with another model and then makes that model's collection the live one. May be broken off and
 * begun again: what was embedded is not embedded twice. Documents that come in meanwhile under the old model are
 * taken along, at last once more after the switch.
 * @returns how many passages were embedded of each tenant
 * @throws BulkheadError `conflict` while another tenant is not embedded yet, and while another process does this or
 *   rebuilds the index; `embedding_unavailable`, `redaction_failed`,
 *   `model_changed`, `policy_unavailable`; `decryption_failed` when a stored text does not open, `keys_unavailable`
 */
export function reembed(options: ReembedOptions): Promise<ReadonlyMap<TenantId, number>> {
  return alone(options.database, 'reembed', (requireHeld) => reembedAlone(options, requireHeld));
}

async function reembedAlone(
  options: ReembedOptions,
  requireHeld: () => Promise<void>,
): Promise<ReadonlyMap<TenantId, number>> {
  const { collections, embedder, tenants } = options;
  const target = await collections.open(embedder);
  const embedded = new Map<TenantId, number>();
  const embed = async (context: Tenant) => {
    const passages = await embedTenant(options, target, context);
    embedded.set(context.tenant, (embedded.get(context.tenant) ?? 0) + passages);
  };
  for (const context of tenants) {
    await embed(context);
    await repair(options, target, context);
  }
  await refuseOthersUnembedded(options);
  await requireHeld();
  await collections.switchTo(embedder.fingerprint);
  for (const context of tenants) await embed(context);
  return embedded;
}

/** The live collection serves every tenant: switching before all are in it would hide what the others have. */
async function refuseOthersUnembedded({ database, embedder, tenants }: ReembedOptions): Promise<void> {
  const mine = tenants.map(({ tenant }) => tenant);
  if (await LiveChunks.othersWithout(database, embedder.fingerprint, mine))
    throw new BulkheadError(
      'conflict',
      'The passages of a tenant that came in meanwhile are not embedded yet. Run this again.',
    );
}

/** @returns how many passages */
async function embedTenant(options: ReembedOptions, target: VectorIndex, context: Tenant): Promise<number> {
  const { database, embedder, onProgress } = options;
  const chunks = LiveChunks.of(database, context.tenant);
  let left = await chunks.countWithoutEmbedding(embedder.fingerprint);
  for (let done = 0; ; ) {
    const some = await chunks.withoutEmbedding(embedder.fingerprint, CHUNKS_PER_STEP);
    if (some.length === 0) return done;
    const points = await toPoints(options, context, some);
    // the row says that the chunk is done, so it comes after the point
    await target.upsert(points);
    await chunks.addEmbeddings(embedder.fingerprint, points);
    done += some.length;
    left = Math.max(0, left - some.length);
    onProgress({ done, left });
  }
}

interface PointToStore extends IndexPoint {
  readonly termKey: string | undefined;
}

/** Ranks are read anew each time: a container may be relabelled while the job runs. */
async function toPoints(
  options: ReembedOptions,
  context: Tenant,
  chunks: readonly ChunkText[],
): Promise<readonly PointToStore[]> {
  const { database, scheme, embedder, redaction } = options;
  const ranks = await effectiveRanks(database, context.tenant);
  await requireScheme(database, 'indexer', scheme);
  const rankOf = (chunk: ChunkText) => ranks.get(chunk.classId) ?? Number.POSITIVE_INFINITY;
  const texts = (await unsealed(options, context, chunks)).map(
    (chunk) => redact(embeddingText(chunk.title, chunk), redaction.indexedWithout(rankOf(chunk))).text,
  );
  const termsKeys = await Promise.all(
    chunks.map((chunk) => options.sealer?.termsKey(context.tenant, rankOf(chunk))),
  );
  const vectors = new Array<Float32Array>(chunks.length);
  await Promise.all(
    byDocument(chunks).map(async (positions) => {
      const some = await embedder.embedPassages(positions.map((position) => texts[position] ?? ''));
      for (const [i, position] of positions.entries()) vectors[position] = some[i] ?? new Float32Array();
    }),
  );
  return chunks.map(
    (chunk, i): PointToStore => ({
      chunkId: chunk.chunkId,
      documentId: chunk.documentId,
      version: chunk.version,
      classId: chunk.classId,
      tenant: context.tenant,
      embedding: vectors[i] ?? new Float32Array(),
      terms: documentTerms(texts[i] ?? '', '', termsKeys[i]?.termId),
      termKey: termsKeys[i]?.id,
    }),
  );
}

/** With their texts, for as long as it takes to embed them. */
function unsealed(
  { sealer = NO_SEALER }: ReembedOptions,
  { tenant }: Tenant,
  chunks: readonly ChunkText[],
): Promise<readonly ChunkText[]> {
  return Promise.all(
    chunks.map(async (chunk) => {
      if (chunk.sealed === undefined) return chunk;
      const { documentId: document, version, ordinal } = chunk;
      return { ...chunk, ...(await sealer.open({ tenant, document, version, ordinal }, chunk.sealed)) };
    }),
  );
}

/** Positions of the chunks of each document: no batch of the model may hold two. */
function byDocument(chunks: readonly ChunkText[]): number[][] {
  const positions = new Map<string, number[]>();
  for (const [i, { documentId }] of chunks.entries())
    positions.set(documentId, [...(positions.get(documentId) ?? []), i]);
  return [...positions.values()];
}

/** What moved or went while the collection was filled. */
async function repair(
  { database, embedder }: ReembedOptions,
  index: VectorIndex,
  context: Tenant,
): Promise<void> {
  const { fingerprint } = embedder;
  const differences = doctor({ database, tenant: context.tenant, index, fingerprint, repair: true });
  for await (const _ of differences);
}
