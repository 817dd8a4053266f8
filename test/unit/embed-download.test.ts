import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEmbedder } from '../../src/embed/embedder.ts';
import { type ModelManifest, readManifest } from '../../src/embed/model-manifest.ts';

const shipped = fileURLToPath(new URL('../../models/all-MiniLM-L6-v2', import.meta.url));
const weights = 'onnx/model_quantized.onnx';
const hub = { repo: 'Xenova/all-MiniLM-L6-v2', revision: 'ab'.repeat(20) };
const root = `/${hub.repo}/resolve/${hub.revision}/`;

let scratch: string;
let cacheFolder: string;
let manifestPath: string;
let manifest: ModelManifest;
let server: Server;
let hubUrl: string;
let requested: string[];
/** What the server does with a file's bytes before it sends them; undefined = 404. */
let serve: (file: string, bytes: Buffer) => Buffer | undefined;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bulkhead-hub-'));
  cacheFolder = join(scratch, 'cache');
  manifestPath = join(scratch, 'manifest.json');
  manifest = await readManifest(join(shipped, 'manifest.json'));
  await writeFile(manifestPath, JSON.stringify({ ...manifest, hub }));
  requested = [];
  serve = (_, bytes) => bytes;
  server = createServer(async (request, response) => {
    requested.push(request.url ?? '');
    const file = (request.url ?? '').replace(root, '');
    const body = file in manifest.files ? serve(file, await readFile(join(shipped, file))) : undefined;
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(scratch, { recursive: true, force: true });
});

const open = () => openEmbedder({ manifestPath, cacheFolder, hubUrl, ingestWorkers: 1 });
const place = (file: string) => join(cacheFolder, `Xenova--all-MiniLM-L6-v2@${hub.revision}`, file);

describe('a model of the Hub', () => {
  it('is downloaded once, at its revision, and then opened without the network', async () => {
    const first = await open();
    const vector = await first.embedQuery('hello');
    await first.close();
    expect(requested.sort()).toEqual(
      Object.keys(manifest.files)
        .map((file) => root + file)
        .sort(),
    );
    expect(await readdir(cacheFolder)).toEqual([`Xenova--all-MiniLM-L6-v2@${hub.revision}`]);

    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const second = await open();
    expect(await second.embedQuery('hello')).toEqual(vector);
    await second.close();
  });

  it('is refused, and what came is deleted, when a file has another hash', async () => {
    serve = (file, bytes) => (file === weights ? Buffer.concat([bytes, Buffer.of(0)]) : bytes);
    await expect(open()).rejects.toMatchObject({
      code: 'model_tampered',
      detail: expect.stringContaining(hubUrl + root + weights),
    });
    await expect(access(place(weights))).rejects.toThrow('ENOENT');
    expect(await readdir(cacheFolder)).toEqual([`Xenova--all-MiniLM-L6-v2@${hub.revision}`]);
  });

  it('goes on with the files that are still missing after a download that broke off', async () => {
    serve = (file, bytes) => (file === 'tokenizer.json' ? undefined : bytes);
    await expect(open()).rejects.toMatchObject({
      code: 'model_missing',
      detail: expect.stringMatching(/tokenizer\.json could not be downloaded \(HTTP 404\)/),
    });
    requested = [];
    serve = (_, bytes) => bytes;
    await (await open()).close();
    expect(requested).toContain(`${root}tokenizer.json`);
    expect(requested).not.toContain(`${root}config.json`);
  });

  it('is refused when a file in the cache was changed later', async () => {
    await (await open()).close();
    await writeFile(place('tokenizer.json'), '{}');
    await expect(open()).rejects.toMatchObject({
      code: 'model_tampered',
      detail: expect.stringContaining('tokenizer.json'),
    });
  });

  it('is missing when the Hub cannot be reached', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(open()).rejects.toMatchObject({ code: 'model_missing' });
  });

  it('needs a cache folder', async () => {
    await expect(openEmbedder({ manifestPath })).rejects.toMatchObject({ code: 'config_invalid' });
  });
});
