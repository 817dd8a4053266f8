/** A model worker: verifies its files, loads the model, then answers one request after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { type EmbeddingModel, loadModel } from './model.ts';
import { verifyModelFiles } from './model-files.ts';
import type { WorkerInput, WorkerReply, WorkerRequest } from './protocol.ts';

const port = parentPort;
if (port === null)
  throw new BulkheadError('internal', 'The embedding worker was started outside a worker thread.');

try {
  const model = await openModel(workerData);
  port.on('message', async (request: WorkerRequest) => post(await answer(model, request)));
  post({ kind: 'ready' });
} catch (error) {
  post(refusal(error));
}

/** Verified here, so that a worker which restarts much later does not load what was put there meanwhile. */
async function openModel({ spec, threads }: WorkerInput): Promise<EmbeddingModel> {
  await verifyModelFiles(spec.folder, spec.files);
  return loadModel(spec, threads);
}

async function answer(model: EmbeddingModel, { kind, texts, batch }: WorkerRequest): Promise<WorkerReply> {
  try {
    if (kind === 'count') return { kind: 'counts', counts: model.count(texts) };
    return { kind: 'vectors', values: await embedInBatches(model, texts, batch ?? texts.length) };
  } catch (error) {
    return { kind: 'failed', message: messageOf(error) };
  }
}

async function embedInBatches(
  model: EmbeddingModel,
  texts: readonly string[],
  size: number,
): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (let start = 0; start < texts.length; start += size)
    parts.push(await model.embed(texts.slice(start, start + size)));
  const values = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    values.set(part, offset);
    offset += part.length;
  }
  return values;
}

function refusal(error: unknown): WorkerReply {
  if (isBulkheadError(error)) return { kind: 'refused', code: error.code, detail: error.detail };
  const detail = `The embedding model could not be loaded: ${messageOf(error)}`;
  return { kind: 'refused', code: 'embedding_unavailable', detail };
}

function post(reply: WorkerReply): void {
  port?.postMessage(reply, reply.kind === 'vectors' ? [reply.values.buffer as ArrayBuffer] : []);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
