/** What the main thread and a model worker say to each other. A worker is sent one request at a time. */
import type { ErrorCode } from '../errors.ts';
import type { ModelSpec } from './model-manifest.ts';

export interface WorkerInput {
  readonly spec: ModelSpec;
  /** Threads within one operator of the model. */
  readonly threads: number;
}

export interface WorkerRequest {
  readonly kind: 'embed' | 'count';
  readonly texts: readonly string[];
  /** How many texts the model computes together; default all. */
  readonly batch?: number;
}

export type WorkerAnswer =
  /** One L2-normalised vector per text, end to end: `texts.length × dimension` numbers. */
  | { readonly kind: 'vectors'; readonly values: Float32Array }
  | { readonly kind: 'counts'; readonly counts: readonly number[] };

export type WorkerReply =
  | WorkerAnswer
  | { readonly kind: 'ready' }
  /** The model could not be loaded; the worker ends. */
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly detail: string }
  /** This one request failed; the worker goes on. */
  | { readonly kind: 'failed'; readonly message: string };
