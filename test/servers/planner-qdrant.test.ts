/** The planner on a real Qdrant server: after a calibration, what it chooses finds what is there. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CalibrationReport, calibrate } from '../../src/index/calibrate.ts';
import { drawVisible, type Layout } from '../../src/index/draw-visible.ts';
import { type PlanConstants, planFor } from '../../src/index/planner.ts';
import { openQdrant, type QdrantCollections } from '../../src/index/qdrant-collections.ts';
import type { QdrantIndex } from '../../src/index/qdrant-index.ts';
import type { Hit, IndexPoint, SearchRequest } from '../../src/index/vector-index.ts';
import { chunkId, classId, documentId, instant, tenantId } from '../../src/policy/ids.ts';
import {
  HOW_TO_GET_QDRANT,
  hasQdrant,
  openQdrantServer,
  type QdrantServer,
  removeCollections,
} from '../helpers/qdrant-server.ts';

const MEADOW = tenantId(1);
const POINTS = 20_000;
const CLASSES = 2_000;
const DIMENSION = 64;
const LIMIT = 200;
const CALIBRATION_SECONDS = 15;
const QUERIES = 30;

if (!hasQdrant()) process.stderr.write(`The planner on Qdrant is skipped: ${HOW_TO_GET_QDRANT}.\n`);

/** The generator of Park and Miller (1988). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

describe.skipIf(!hasQdrant())('The planner on Qdrant', () => {
  const prefix = `planner${randomBytes(4).toString('hex')}`;
  let server: QdrantServer;
  let collections: QdrantCollections;
  let index: QdrantIndex;
  let report: CalibrationReport;
  let constants: PlanConstants | undefined;

  beforeAll(async () => {
    const opened = await openQdrantServer();
    if (opened === undefined) throw new Error(HOW_TO_GET_QDRANT);
    server = opened;
    collections = await openQdrant({
      url: server.url,
      key: server.key,
      ca: undefined,
      timeoutMs: 30_000,
      quantization: 'none',
      canWrite: true,
      calibration: () => constants,
      prefix,
    });
    index = await collections.open({ fingerprint: 'planner', dimension: DIMENSION });
    await searchThroughGraphs(server, prefix);
    for (let start = 0; start < POINTS; start += 2_000) await index.upsert(points(start, 2_000));
    await untilIndexed(server, prefix);
    report = await calibrate({
      index,
      fingerprint: 'planner',
      tenant: MEADOW,
      budgetMs: CALIBRATION_SECONDS * 1_000,
      random: seeded(11),
      now: () => instant(Date.now()),
      clock: () => performance.now(),
    });
    constants = report;
  }, 240_000);
  afterAll(async () => {
    collections?.close();
    await removeCollections(server, prefix);
    await server?.close();
  });

  /** As the planner has it, and every visible point compared; on queries that the calibration has not seen. */
  async function compare(layout: Layout, share: number) {
    const random = seeded(Math.round(share * 1e6) + (layout === 'scattered' ? 7 : layout));
    const set = drawVisible(await index.classSizes(MEADOW), layout, share, random);
    if (set === undefined) throw new Error('no such set');
    const seeds = await index.sampleVectors(MEADOW, QUERIES);
    const recalls: number[] = [];
    const times: number[] = [];
    let plan = '';
    for (const seed of seeds) {
      const dense = unit(seed.map((x) => x + (random() - 0.5) * 0.1));
      const request = requestOf(set.visible, set.chunks, dense);
      const { form, mode } = planFor(request, constants);
      plan = mode.kind === 'exact' ? `exact, ${form}` : `${mode.kind} ${mode.beam}, ${form}`;
      const start = performance.now();
      const { dense: hits } = await index.search(request);
      times.push(performance.now() - start);
      const exact = await index.searchAs(request, { form: 'any', mode: { kind: 'exact' } });
      expect(hits.length).toBe(Math.min(LIMIT, set.chunks));
      recalls.push(recallOf(hits, exact));
    }
    const recall = recalls.reduce((sum, x) => sum + x, 0) / recalls.length;
    return { plan, recall, ms: times.sort((a, b) => a - b)[times.length >> 1] ?? 0, chunks: set.chunks };
  }

  it('has graphs to choose, which are wrong for some sets and right for others', () => {
    const graphs = report.measurements.filter(({ plan }) => plan.mode.kind === 'graph');
    expect(graphs.some(({ recall }) => recall < 0.9)).toBe(true);
    expect(graphs.some(({ recall }) => recall >= 0.99)).toBe(true);
  });

  it('finds at least 99 % of the ten nearest, and as many passages as there are, at every share', async () => {
    const lines = ['visible  layout     passages  plan                 median   recall'];
    const recalls: number[] = [];
    for (const layout of [1, 10, 'scattered'] as const)
      for (const share of layout === 'scattered' ? SHARES.slice(1) : SHARES) {
        const { plan, recall, ms, chunks } = await compare(layout, share);
        const percent = `${share * 100} %`.padEnd(9);
        const where = (layout === 'scattered' ? layout : `${layout} run(s)`).padEnd(11);
        lines.push(
          `${percent}${where}${String(chunks).padEnd(10)}${plan.padEnd(21)}${ms.toFixed(1).padStart(5)} ms ${recall.toFixed(3)}`,
        );
        recalls.push(recall);
      }
    process.stderr.write(`${lines.join('\n')}\n`);
    expect(Math.min(...recalls)).toBeGreaterThanOrEqual(0.99);
  }, 120_000);

  it('returns as many passages as there are even when a graph was trusted that should not have been', async () => {
    const before = constants;
    const admitted = [{ runs: Number.MAX_SAFE_INTEGER, chunks: 0 }];
    const times = [1, 10, 100, 1_000, 10_000, 100_000].map((chunks) => ({ runs: 1, chunks, ms: 0 }));
    constants = { ...report, graphs: [{ kind: 'graph', beam: 1, form: 'any', times, admitted }] };
    try {
      for (const share of [0.02, 0.05, 0.1]) {
        const { plan, recall } = await compare('scattered', share);
        expect(plan).toContain('graph');
        // what was found short was searched again, exactly
        expect(recall).toBeGreaterThan(0);
      }
    } finally {
      constants = before;
    }
  }, 60_000);

  it('compares every visible passage where a silent level is visible', async () => {
    const set = drawVisible(await index.classSizes(MEADOW), 1, 1, seeded(1));
    const [dense] = await index.sampleVectors(MEADOW, 1);
    if (set === undefined || dense === undefined) throw new Error('no set');
    const request = { ...requestOf(set.visible, set.chunks, dense), exact: true };
    const exact = await index.searchAs(request, { form: 'ranges', mode: { kind: 'exact' } });
    expect((await index.search(request)).dense).toEqual(exact);
  });
});

const SHARES = [1, 0.5, 0.2, 0.1, 0.04, 0.01];

const LATENT = (() => {
  const random = seeded(99);
  return Array.from({ length: 12 }, () => Array.from({ length: DIMENSION }, () => random() - 0.5));
})();

function requestOf(visible: SearchRequest['visible'], chunks: number, dense: Float32Array): SearchRequest {
  return { tenant: MEADOW, visible, dense, terms: [], limit: LIMIT, visibleChunks: chunks };
}

/** Held against scores: of two as near, either is right. */
function recallOf(hits: readonly Hit[], exact: readonly Hit[]): number {
  const top = exact.slice(0, 10);
  const bar = (top.at(-1)?.score ?? 0) - 1e-6;
  return top.length === 0 ? 1 : hits.slice(0, 10).filter(({ score }) => score >= bar).length / top.length;
}

/**
 * Vectors of text fill a small part of their space: these are 12 numbers in 64 dimensions. Their classes are random
 * to them, which is harder than life.
 */
function points(start: number, count: number): readonly IndexPoint[] {
  const random = seeded(start + 1);
  const embedding = () => {
    const few = Array.from({ length: LATENT.length }, () => random() + random() + random() - 1.5);
    return unit(
      Float32Array.from({ length: DIMENSION }, (_, d) =>
        few.reduce((sum, x, j) => sum + x * (LATENT[j]?.[d] ?? 0), (random() - 0.5) * 0.1),
      ),
    );
  };
  return Array.from({ length: count }, (_, i) => ({
    chunkId: chunkId(start + i + 1),
    documentId: documentId(`00000000-0000-4000-8000-${String(start + i + 1).padStart(12, '0')}`),
    version: 1,
    classId: classId(64 + ((start + i) % CLASSES)),
    tenant: MEADOW,
    embedding: embedding(),
    terms: { ids: [1], weights: [1] },
  }));
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

// so few points, Qdrant would compare one by one: it is told to build and use graphs

interface CollectionState {
  readonly status: string;
  readonly indexed_vectors_count: number;
}

async function ask<T>({ url, key }: QdrantServer, method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'api-key': key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { result: T }).result;
}

async function nameOf(server: QdrantServer, prefix: string): Promise<string> {
  const { collections } = await ask<{ collections: { name: string }[] }>(server, 'GET', '/collections');
  const found = collections.find(({ name }) => name.startsWith(`${prefix}-`));
  if (found === undefined) throw new Error('no collection');
  return found.name;
}

async function searchThroughGraphs(server: QdrantServer, prefix: string): Promise<void> {
  await ask(server, 'PATCH', `/collections/${await nameOf(server, prefix)}`, {
    optimizers_config: { indexing_threshold: 100, default_segment_number: 1 },
    hnsw_config: { full_scan_threshold: 10 },
  });
}

async function untilIndexed(server: QdrantServer, prefix: string): Promise<void> {
  const name = await nameOf(server, prefix);
  const deadline = Date.now() + 120_000;
  for (;;) {
    const { status, indexed_vectors_count: indexed } = await ask<CollectionState>(
      server,
      'GET',
      `/collections/${name}`,
    );
    // the terms are counted too
    if (status === 'green' && indexed >= POINTS * 1.9) return;
    if (Date.now() > deadline)
      throw new Error(`Qdrant has indexed ${indexed} of ${POINTS} points (${status})`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
