/** A model's manifest: which files it consists of and how its vectors are made. It is JSON beside the model. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import { hashFile, loaderFiles } from './model-files.ts';

/** The graph that the loader opens for each data type: `onnx/model<suffix>.onnx`. */
const GRAPH_SUFFIX = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q4: '_q4',
  q4f16: '_q4f16',
  bnb4: '_bnb4',
} as const;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex');

/** Segments that start with a letter or digit cannot climb out of the folder. */
const relativeFile = z
  .string()
  .regex(/^[A-Za-z0-9_][\w.-]*(?:\/[A-Za-z0-9_][\w.-]*)*$/, 'must be a path below the model folder, with /');

const hubSource = z.strictObject({
  repo: z.string().regex(/^[A-Za-z0-9_][\w.-]*\/[A-Za-z0-9_][\w.-]*$/, 'must be owner/name'),
  revision: z.string().regex(/^[0-9a-f]{40}$/, 'must be a commit of 40 hex digits, so that it cannot move'),
});

const modelManifest = z
  .strictObject({
    name: z.string().min(1),
    /** Where the files are, relative to the manifest; absent = beside it. */
    folder: z.string().min(1).optional(),
    /** Where to download the files from, once; excludes `folder`. */
    hub: hubSource.optional(),
    pooling: z.enum(['mean', 'cls']),
    /** Written before every query; for instance an instruction, with its trailing space. */
    queryPrefix: z.string(),
    /** Written before every passage. */
    passagePrefix: z.string(),
    /** The longest input in tokens, special tokens and prefix included; the rest is cut off. */
    maxTokens: z.int().min(8).max(32_768),
    /** Numbers in a vector. */
    dimension: z.int().min(1).max(16_384),
    dtype: z.enum(['fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4']),
    files: z.record(relativeFile, sha256),
  })
  .refine(({ folder, hub }) => folder === undefined || hub === undefined, 'folder and hub exclude each other')
  .refine(
    ({ dtype, files }) => files[graphFile(dtype)] !== undefined,
    'files must hold the graph of this dtype',
  )
  .refine(({ files }) => files['tokenizer.json'] !== undefined, 'files must hold tokenizer.json');

type DataType = keyof typeof GRAPH_SUFFIX;

export type ModelManifest = Readonly<z.infer<typeof modelManifest>>;

export type HubSource = Readonly<z.infer<typeof hubSource>>;

/** A manifest whose files have a place on this machine: `folder` is absolute. */
export interface ModelSpec extends Omit<ModelManifest, 'folder' | 'hub'> {
  readonly folder: string;
}

/**
 * Reads and checks a manifest, but none of the files it lists.
 *
 * @throws {BulkheadError} `model_missing` when it cannot be read, `config_invalid` when it is no manifest
 */
export async function readManifest(manifestPath: string): Promise<ModelManifest> {
  const text = await readFile(manifestPath, 'utf8').catch((cause: unknown) => {
    throw new BulkheadError('model_missing', `The model manifest ${manifestPath} could not be read.`, {
      cause,
    });
  });
  return parseManifest(text, manifestPath);
}

/** The folder of a model that is not downloaded: the manifest's own, unless it names another. */
export function localFolder(manifest: ModelManifest, manifestPath: string): string {
  return resolve(dirname(manifestPath), manifest.folder ?? '.');
}

/**
 * Everything that decides what a vector looks like, in one value: two models with the same fingerprint can share an
 * index. Every listed file counts, since graph, tokenizer and configuration all bear on the result.
 *
 * @returns SHA-256 in lower-case hex
 */
export function fingerprintOf(spec: Omit<ModelManifest, 'folder' | 'hub'>): string {
  const { pooling, queryPrefix, passagePrefix, maxTokens, dimension, dtype } = spec;
  const files = Object.entries(spec.files).sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = ['bulkhead model 1', files, pooling, queryPrefix, passagePrefix, maxTokens, dimension, dtype];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

export interface ModelDescription {
  /** Default: the folder's name. */
  readonly name?: string;
  readonly pooling: ModelManifest['pooling'];
  /** Default: none. */
  readonly queryPrefix?: string;
  /** Default: none. */
  readonly passagePrefix?: string;
  readonly maxTokens: number;
  readonly dtype: DataType;
  /** Default: `hidden_size` of config.json. */
  readonly dimension?: number;
  /** Where others can download the same files. Left out, the manifest names `folder` itself. */
  readonly hub?: HubSource;
}

/**
 * Makes the manifest of a model that lies in a local folder in the Hugging Face layout. How its vectors are pooled
 * and prefixed is written in no file, so it comes from whoever knows the model. Every graph in the folder is hashed
 * now and at each start: keep only the one in use.
 *
 * @throws {BulkheadError} `model_missing` when a file cannot be read, `config_invalid` when the result is no manifest
 */
export async function describeModel(folder: string, description: ModelDescription): Promise<ModelManifest> {
  const files: Record<string, string> = {};
  for (const file of await loaderFiles(folder)) files[file] = await hashFile(join(folder, file));
  const { name = basename(folder), queryPrefix = '', passagePrefix = '', hub } = description;
  const { pooling, maxTokens, dtype } = description;
  const dimension = description.dimension ?? (await hiddenSize(folder));
  const place = hub === undefined ? { folder: resolve(folder) } : { hub };
  return checked(
    { name, ...place, pooling, queryPrefix, passagePrefix, maxTokens, dimension, dtype, files },
    `The model in ${folder}`,
  );
}

function graphFile(dtype: DataType): string {
  return `onnx/model${GRAPH_SUFFIX[dtype]}.onnx`;
}

function parseManifest(text: string, manifestPath: string): ModelManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BulkheadError('config_invalid', `The model manifest ${manifestPath} is not JSON.`, { cause });
  }
  return checked(value, `The model manifest ${manifestPath}`);
}

function checked(value: unknown, what: string): ModelManifest {
  const parsed = modelManifest.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const first = issues[0];
  const where = first === undefined ? '' : `: ${[first.path, first.message].filter(Boolean).join(' ')}`;
  throw new BulkheadError('config_invalid', `${what} is not valid${where}.`, { issues });
}

async function hiddenSize(folder: string): Promise<number> {
  const path = join(folder, 'config.json');
  const config = z.object({ hidden_size: z.int() });
  try {
    return config.parse(JSON.parse(await readFile(path, 'utf8'))).hidden_size;
  } catch (cause) {
    throw new BulkheadError('config_invalid', `${path} has no hidden_size: give the dimension.`, { cause });
  }
}
