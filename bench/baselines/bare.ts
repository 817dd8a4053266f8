/**
 * The same search with the same filter and nothing else: for each caller and question, the calls that Bulkhead's
 * adapter made to Qdrant, recorded before, made again as they were. The question is embedded as everywhere.
 */
import { Agent, request } from 'node:http';
import type { Recorded } from '../lib/scale/qdrant-proxy.ts';
import type { Baseline, QueryEmbedder } from './baseline.ts';

export interface BareSearch {
  readonly caller: string;
  readonly query: string;
  readonly calls: readonly Recorded[];
}

export function bare(qdrantUrl: string, searches: readonly BareSearch[], embedder: QueryEmbedder): Baseline {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const known = new Map(searches.map(({ caller, query, calls }) => [`${caller}\n${query}`, calls]));
  return {
    answer: async ({ query, caller, limit }) => {
      await embedder.embedQuery(query);
      const calls = known.get(`${caller}\n${query}`);
      if (calls === undefined) throw new Error(`nothing was recorded for ${caller}: ${query}`);
      const answers = await Promise.all(
        calls.map((call) => send(agent, qdrantUrl, call).catch(() => send(agent, qdrantUrl, call))),
      );
      return {
        passages: answers
          .slice(0, limit)
          .map((answer) => ({ document_id: '', text: '', score: hits(answer) })),
      };
    },
  };
}

/** Read as a client would, so that reading is paid for. */
function hits(answer: string): number {
  const { result } = JSON.parse(answer) as { result?: readonly unknown[] };
  return result?.length ?? 0;
}

function send(agent: Agent, base: string, { method, path, body, headers }: Recorded): Promise<string> {
  const url = new URL(path, base);
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        agent,
        method,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`Qdrant answered ${response.statusCode}: ${text.slice(0, 300)}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
