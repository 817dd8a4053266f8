/** The model itself, inside a worker: tokenizer and graph, run by transformers on onnxruntime. */
import { AutoModel, AutoTokenizer, env, LogLevel, Tensor } from '@xenova/transformers';
import { BulkheadError } from '../errors.ts';
import type { ModelSpec } from './model-manifest.ts';
import { type HiddenState, poolRows } from './pooling.ts';

type Tokenizer = Awaited<ReturnType<typeof AutoTokenizer.from_pretrained>>;
type Graph = Awaited<ReturnType<typeof AutoModel.from_pretrained>>;

/** The tokens a tokenizer puts around a text, such as [CLS] and [SEP]. */
interface SpecialTokens {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

export class EmbeddingModel {
  readonly #spec: ModelSpec;
  readonly #tokenizer: Tokenizer;
  readonly #graph: Graph;
  readonly #specials: SpecialTokens;

  constructor(spec: ModelSpec, tokenizer: Tokenizer, graph: Graph) {
    this.#spec = spec;
    this.#tokenizer = tokenizer;
    this.#graph = graph;
    this.#specials = specialTokensOf(tokenizer);
  }

  /** One vector of length 1 for each text, end to end. Texts longer than `maxTokens` lose their end. */
  async embed(texts: readonly string[]): Promise<Float32Array> {
    const rows = texts.map((text) => this.#encode(text));
    const hidden = await this.#run(rows);
    return poolRows(hidden, this.#spec.pooling);
  }

  /** Tokens of each whole text, special tokens not counted. */
  count(texts: readonly string[]): number[] {
    return texts.map((text) => this.#tokensOf(text).length);
  }

  /**
   * Cuts the text, not the special tokens after it, as the models were trained; the truncation that transformers 4.3
   * offers would drop the closing [SEP].
   */
  #encode(text: string): number[] {
    const { before, after } = this.#specials;
    const room = this.#spec.maxTokens - before.length - after.length;
    return [...before, ...this.#tokensOf(text).slice(0, room), ...after];
  }

  #tokensOf(text: string): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: false });
  }

  async #run(rows: readonly (readonly number[])[]): Promise<HiddenState> {
    const length = Math.max(...rows.map((row) => row.length));
    const ids = new BigInt64Array(rows.length * length).fill(BigInt(this.#tokenizer.pad_token_id ?? 0));
    const mask = new BigInt64Array(rows.length * length);
    for (const [r, row] of rows.entries()) {
      ids.set(row.map(BigInt), r * length);
      mask.fill(1n, r * length, r * length + row.length);
    }
    const shape = [rows.length, length];
    const output: unknown = await this.#graph({
      input_ids: new Tensor('int64', ids, shape),
      attention_mask: new Tensor('int64', mask, shape),
    });
    const values = lastHiddenState(output, [...shape, this.#spec.dimension]);
    return { values, length, dimension: this.#spec.dimension, tokenCounts: rows.map((row) => row.length) };
  }
}

/**
 * Loads a model whose files have been verified, and embeds one word to see that its vectors have the dimension they
 * should. Nothing is ever fetched: an absolute path, unlike a name, is never looked up on the Hub or in a cache.
 *
 * @param threads threads within one operator
 * @throws {BulkheadError} `model_tampered` when the model is not what its manifest says
 */
export async function loadModel(spec: ModelSpec, threads: number): Promise<EmbeddingModel> {
  env.allowRemoteModels = false;
  env.useFSCache = false;
  env.useBrowserCache = false;
  env.useWasmCache = false;
  env.logLevel = LogLevel.ERROR;
  const tokenizer = await AutoTokenizer.from_pretrained(spec.folder, { local_files_only: true });
  if (tokenizer.model_max_length < spec.maxTokens) {
    const limit = `${tokenizer.model_max_length} tokens`;
    throw new BulkheadError(
      'model_tampered',
      `${spec.name} takes ${limit}, its manifest says ${spec.maxTokens}.`,
    );
  }
  const graph = await AutoModel.from_pretrained(spec.folder, {
    local_files_only: true,
    device: 'cpu',
    dtype: spec.dtype,
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  const model = new EmbeddingModel(spec, tokenizer, graph);
  await model.embed(['a']);
  return model;
}

/** Finds what the tokenizer adds by encoding one letter with and without it. */
function specialTokensOf(tokenizer: Tokenizer): SpecialTokens {
  const bare = tokenizer.encode('a', { add_special_tokens: false });
  const whole = tokenizer.encode('a');
  for (let start = 0; start + bare.length <= whole.length; start++) {
    if (bare.every((token, i) => whole[start + i] === token)) {
      return { before: whole.slice(0, start), after: whole.slice(start + bare.length) };
    }
  }
  throw new BulkheadError('model_tampered', 'The tokenizer changes a text when it adds its special tokens.');
}

function lastHiddenState(output: unknown, shape: readonly number[]): Float32Array {
  const tensors: Readonly<Record<string, unknown>> = { ...(output instanceof Object ? output : {}) };
  const tensor = tensors.last_hidden_state ?? tensors.token_embeddings;
  if (!(tensor instanceof Tensor) || !(tensor.data instanceof Float32Array)) {
    throw new BulkheadError('model_tampered', 'The model gives no hidden state of 32-bit numbers.');
  }
  if (tensor.dims.length !== shape.length || tensor.dims.some((size, i) => size !== shape[i])) {
    const detail = `The model gives tensors of ${tensor.dims.join('×')}, its manifest says ${shape.join('×')}.`;
    throw new BulkheadError('model_tampered', detail);
  }
  return tensor.data;
}
