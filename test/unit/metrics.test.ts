import { afterEach, describe, expect, it } from 'vitest';
import { listenForMetrics, type MetricsListener, RequestMetrics } from '../../src/telemetry/metrics.ts';

const at = (ms: number, route = '/v1/retrieve', status = 200) => ({ route, status, ms });

describe('The metrics', () => {
  let listener: MetricsListener | undefined;
  afterEach(() => listener?.close());

  it('count each request in every bucket that it fits', () => {
    const metrics = new RequestMetrics();
    for (const ms of [4, 30, 30, 600, 60_000]) metrics.observe(at(ms));
    const labels = 'route="retrieve",outcome="answered"';
    const buckets = [...metrics.text().matchAll(/_bucket\{.*le="(.+)"\} (\d+)/g)].map(
      ([, le, n]) => `${le}:${n}`,
    );
    expect(buckets.join(' ')).toBe(
      '0.005:1 0.01:1 0.025:1 0.05:3 0.1:3 0.15:3 0.25:3 0.5:3 1:4 2.5:4 5:4 10:4 +Inf:5',
    );
    expect(metrics.text()).toContain(`_sum{${labels}} 60.664\n`);
    expect(metrics.text()).toContain(`_count{${labels}} 5\n`);
  });

  it('tell nothing of a document, a caller or a path: two closed lists of labels are all', () => {
    const metrics = new RequestMetrics();
    const secret = '/v1/documents/48d09bf9-6425-4412-ab22-8d5520963f3b';
    for (const route of [
      secret,
      '/legal/heron',
      '/v1/principals/{name}',
      '/v1/audit/verify',
      '/healthz',
      'none',
    ])
      for (const status of [200, 302, 401, 404, 500, 503]) metrics.observe(at(1, route, status));
    const labels = new Set([...metrics.text().matchAll(/_count\{(.*)\}/g)].map(([, text]) => text));
    const routes = ['administration', 'audit', 'documents', 'operation', 'page'];
    const outcomes = ['answered', 'failed', 'refused'];
    expect(labels).toEqual(
      new Set(routes.flatMap((route) => outcomes.map((outcome) => `route="${route}",outcome="${outcome}"`))),
    );
  });

  it('are served on a port of their own, and nothing else is', async () => {
    const metrics = new RequestMetrics();
    metrics.observe(at(1));
    listener = await listenForMetrics(metrics, { host: '127.0.0.1', port: 0 });
    const get = (path: string, method = 'GET') =>
      fetch(`http://127.0.0.1:${listener?.port}${path}`, { method });
    const answer = await get('/metrics');
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4');
    expect(await answer.text()).toBe(metrics.text());
    for (const response of [await get('/'), await get('/v1/retrieve'), await get('/metrics', 'POST')])
      expect(response.status).toBe(404);
  });
});
