/** What the real pipeline finds for each reader of one judged collection, and what it should have found. */
import { randomUUID } from 'node:crypto';
import type { Core } from '../../src/assembly/core.ts';
import { BulkheadError } from '../../src/errors.ts';
import type { SearchResult } from '../../src/index/vector-index.ts';
import { authorizeQuery } from '../../src/retrieve/1-authorize.ts';
import { fuse } from '../../src/retrieve/3-search.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import type { Collection } from './collections.ts';
import type { Dealing, ReaderName } from './dealing.ts';
import { type EmbeddedQuestion, embeddedQuestion } from './embedded-question.ts';
import { dealingOf } from './judged-folder.ts';
import { mean, overlap } from './measures.ts';
import { METHODS, type Score, score } from './methods.ts';
import { Oracle } from './oracle.ts';
import { identityOf } from './tenant.ts';

/** Chunks per list: as many as retrieval asks for. */
export const DEPTH = 200;
const TOP = 10;

export interface JudgedCollection {
  readonly core: Core;
  readonly collection: Collection;
  readonly dealing: Dealing;
  readonly oracle: Oracle;
  /** By position of the question. */
  readonly prepared: readonly EmbeddedQuestion[];
  readonly mayRead: (reader: ReaderName, externalId: string) => boolean;
}

export interface ReaderReport {
  readonly reader: ReaderName;
  readonly visibleDocuments: number;
  readonly classes: number;
  readonly methods: readonly (Score & { readonly method: string })[];
  /** Mean overlap of the first ten passages that `retrieve` released with the oracle's. */
  readonly agreement: number;
}

export async function openJudged(core: Core, collection: Collection): Promise<JudgedCollection> {
  const dealing = dealingOf(collection);
  const positions = new Map(collection.documents.map(({ id }, i) => [id, i]));
  const prepared: EmbeddedQuestion[] = [];
  for (const { text } of collection.questions) prepared.push(await embeddedQuestion(core.embedder, text));
  return {
    core,
    collection,
    dealing,
    oracle: await Oracle.of(core, collection.name),
    prepared,
    mayRead: (reader, externalId) => dealing.mayRead(reader, positions.get(externalId) ?? -1),
  };
}

export async function reportOn(judged: JudgedCollection, reader: ReaderName): Promise<ReaderReport> {
  const { collection, oracle, mayRead } = judged;
  const readable = (document: string) => mayRead(reader, document);
  const { lists, classes } = await searchAll(judged, reader);
  const externalIds = oracle.externalIds();
  return {
    reader,
    visibleDocuments: collection.documents.filter(({ id }) => readable(id)).length,
    classes,
    methods: Object.entries(METHODS).map(([method, ranker]) => ({
      method,
      ...score(collection, lists, ranker, externalIds, readable),
    })),
    agreement: await agreementWithOracle(judged, reader),
  };
}

/** The lists of the index, as stage 3 gets them. */
async function searchAll(
  { core, collection, prepared }: JudgedCollection,
  reader: ReaderName,
): Promise<{ lists: SearchResult[]; classes: number }> {
  const { searched } = await authorizeQuery(core.retrieve, identityOf(collection.name, reader), {});
  const tenant = await core.tenants.find(collection.name);
  if (searched.kind === 'nothing' || tenant === undefined)
    throw new BulkheadError('internal', `The reader ${reader} of ${collection.name} sees nothing.`);
  const lists: SearchResult[] = [];
  for (const { vector, terms } of prepared)
    lists.push(await core.index.search({ tenant, visible: searched, dense: vector, terms, limit: DEPTH }));
  return { lists, classes: searched.size };
}

async function agreementWithOracle(judged: JudgedCollection, reader: ReaderName): Promise<number> {
  const { core, collection, prepared, oracle, mayRead } = judged;
  const [ordinals, documents] = [oracle.ordinals(), oracle.documents()];
  const shares: number[] = [];
  for (const [i, { text }] of collection.questions.entries()) {
    const vector = prepared[i]?.vector ?? new Float32Array();
    const { content } = await retrieve(core.retrieve, identityOf(collection.name, reader), {
      requestId: randomUUID(),
      query: text,
      limit: TOP,
      filters: {},
    });
    const found = content.passages.map(({ document_id, passage }) => `${document_id} ${passage}`);
    const lists = oracle.search({ text, vector }, (document) => mayRead(reader, document), DEPTH);
    const expected = fuse(lists).slice(0, TOP);
    shares.push(
      overlap(
        found,
        expected.map(({ hit }) => `${documents.get(hit.chunkId)} ${ordinals.get(hit.chunkId)}`),
      ),
    );
  }
  return mean(shares);
}
