import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEmbedder } from '../../src/embed/embedder.ts';
import { verifyModelFiles } from '../../src/embed/model-files.ts';
import {
  describeModel,
  fingerprintOf,
  localFolder,
  type ModelManifest,
  readManifest,
} from '../../src/embed/model-manifest.ts';

const shipped = fileURLToPath(new URL('../../models/all-MiniLM-L6-v2', import.meta.url));
const weights = 'onnx/model_quantized.onnx';

let scratch: string;
let folder: string;
let manifest: ModelManifest;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bulkhead-model-'));
  folder = join(scratch, 'model');
  await cp(shipped, folder, { recursive: true });
  manifest = await readManifest(join(folder, 'manifest.json'));
});

afterEach(() => rm(scratch, { recursive: true, force: true }));

const verify = () => verifyModelFiles(folder, manifest.files);

async function written(value: object): Promise<string> {
  const path = join(scratch, 'manifest.json');
  await writeFile(path, JSON.stringify(value));
  return path;
}

describe('the files of a model', () => {
  it('are accepted as shipped, licence and notes beside them', async () => {
    await expect(verify()).resolves.toBeUndefined();
  });

  it.each([weights, 'tokenizer.json', 'config.json'])(
    'are refused when one byte of %s is changed',
    async (file) => {
      const path = join(folder, file);
      const bytes = await readFile(path);
      bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
      await writeFile(path, bytes);
      await expect(verify()).rejects.toMatchObject({
        code: 'model_tampered',
        detail: expect.stringContaining(path),
      });
    },
  );

  it('are refused when one is missing, by name', async () => {
    const path = join(folder, weights);
    await rm(path);
    await expect(verify()).rejects.toMatchObject({
      code: 'model_missing',
      detail: expect.stringContaining(path),
    });
  });

  it.each([
    'onnx/model.onnx',
    'generation_config.json',
    'model.ONNX',
    'onnx/model_quantized.onnx_data',
    'onnx/weights.bin',
  ])('are refused when the loader could read another one: %s', async (file) => {
    await writeFile(join(folder, file), '{}');
    await expect(verify()).rejects.toMatchObject({
      code: 'model_tampered',
      detail: expect.stringContaining(file),
    });
  });

  it('are refused when a link leads to another folder', async () => {
    await symlink(shipped, join(folder, 'other'));
    await expect(verify()).rejects.toMatchObject({
      code: 'model_tampered',
      detail: expect.stringContaining('other'),
    });
  });

  it('may be links to files, as in the cache of the Hub, and are hashed all the same', async () => {
    await rm(join(folder, weights));
    await symlink(join(shipped, weights), join(folder, weights));
    await expect(verify()).resolves.toBeUndefined();
    await rm(join(folder, weights));
    await symlink(join(shipped, 'config.json'), join(folder, weights));
    await expect(verify()).rejects.toMatchObject({ code: 'model_tampered' });
  });

  it('are refused when the whole folder is missing', async () => {
    await rm(folder, { recursive: true });
    await expect(verify()).rejects.toMatchObject({
      code: 'model_missing',
      detail: expect.stringContaining(folder),
    });
  });

  it('are verified when an embedder is opened', async () => {
    await writeFile(join(folder, 'config.json'), '{"model_type":"bert"}');
    const opening = openEmbedder({ manifestPath: join(folder, 'manifest.json'), ingestWorkers: 1 });
    await expect(opening).rejects.toMatchObject({
      code: 'model_tampered',
      detail: expect.stringContaining('config.json'),
    });
  });
});

describe('a manifest', () => {
  it('describes the shipped model', () => {
    expect(manifest).toMatchObject({
      name: 'all-MiniLM-L6-v2',
      pooling: 'mean',
      maxTokens: 256,
      dimension: 384,
    });
  });

  it('says that it is missing', async () => {
    await expect(readManifest(join(scratch, 'none.json'))).rejects.toMatchObject({ code: 'model_missing' });
  });

  it('must be JSON', async () => {
    const path = join(scratch, 'manifest.json');
    await writeFile(path, '{');
    await expect(readManifest(path)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  const hash = '0'.repeat(64);
  const revision = '1'.repeat(40);
  it.each([
    ['a path that climbs out of the folder', { files: { '../secret.json': hash } }],
    ['a path with a climb inside', { files: { 'onnx/../../secret.json': hash } }],
    ['an absolute path', { files: { '/etc/passwd': hash } }],
    ['a hash that is none', { files: { 'config.json': 'abc' } }],
    ['a list without the tokenizer', { files: { [weights]: hash } }],
    ['a list without the graph of its data type', { dtype: 'fp32' }],
    ['an unknown pooling', { pooling: 'max' }],
    ['an unknown field', { trusted: true }],
    ['a branch for a revision', { hub: { repo: 'a/b', revision: 'main' } }],
    ['a repository that climbs', { hub: { repo: '../b', revision } }],
    ['a folder and a repository', { folder: 'x', hub: { repo: 'a/b', revision } }],
  ])('is refused with %s', async (_, change) => {
    const path = await written({ ...manifest, ...change });
    await expect(readManifest(path)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('finds its files beside itself, or in the folder it names', () => {
    expect(localFolder(manifest, '/models/a/manifest.json')).toBe('/models/a');
    expect(localFolder({ ...manifest, folder: '../b' }, '/models/a/manifest.json')).toBe('/models/b');
    expect(localFolder({ ...manifest, folder: '/c' }, '/models/a/manifest.json')).toBe('/c');
  });
});

describe('describing a model that lies in a folder', () => {
  it('hashes what the loader could read, and nothing else', async () => {
    const described = await describeModel(folder, { pooling: 'mean', maxTokens: 256, dtype: 'q8' });
    expect(described).toEqual({ ...manifest, name: 'model', folder });
  });

  it('keeps the prefixes and the name it is given', async () => {
    const given = { name: 'mine', queryPrefix: 'query: ', passagePrefix: 'passage: ' };
    const described = await describeModel(folder, { ...given, pooling: 'cls', maxTokens: 64, dtype: 'q8' });
    expect(described).toMatchObject({ ...given, pooling: 'cls', maxTokens: 64 });
  });

  it('can name the place to download it from instead of the folder', async () => {
    const hub = { repo: 'owner/name', revision: 'a'.repeat(40) };
    const described = await describeModel(folder, { pooling: 'mean', maxTokens: 256, dtype: 'q8', hub });
    expect(described.hub).toEqual(hub);
    expect(described.folder).toBeUndefined();
  });

  it('refuses a data type that the folder has no graph for', async () => {
    const describing = describeModel(folder, { pooling: 'mean', maxTokens: 256, dtype: 'fp16' });
    await expect(describing).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('asks for the dimension when the configuration does not tell', async () => {
    await writeFile(join(folder, 'config.json'), '{}');
    const description = { pooling: 'mean', maxTokens: 256, dtype: 'q8' } as const;
    await expect(describeModel(folder, description)).rejects.toMatchObject({ code: 'config_invalid' });
    expect(await describeModel(folder, { ...description, dimension: 384 })).toMatchObject({ dimension: 384 });
  });

  it('refuses a folder without a model', async () => {
    await mkdir(join(scratch, 'empty'));
    const describing = describeModel(join(scratch, 'empty'), {
      pooling: 'mean',
      maxTokens: 256,
      dtype: 'q8',
      dimension: 384,
    });
    await expect(describing).rejects.toMatchObject({ code: 'config_invalid' });
  });
});

describe('a fingerprint', () => {
  it('does not depend on the name or on the order of the files', () => {
    const files = Object.fromEntries(Object.entries(manifest.files).reverse());
    expect(fingerprintOf({ ...manifest, name: 'other', files })).toBe(fingerprintOf(manifest));
    expect(fingerprintOf(manifest)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('changes with everything that bears on a vector', () => {
    const changes: Partial<ModelManifest>[] = [
      {},
      { pooling: 'cls' },
      { queryPrefix: 'x' },
      { passagePrefix: 'x' },
      { dimension: 383 },
      { maxTokens: 255 },
      { dtype: 'int8' },
      { files: { ...manifest.files, [weights]: '0'.repeat(64) } },
      { files: { ...manifest.files, 'tokenizer.json': '0'.repeat(64) } },
    ];
    const fingerprints = changes.map((change) => fingerprintOf({ ...manifest, ...change }));
    expect(new Set(fingerprints).size).toBe(changes.length);
  });
});
