import { mkdtemp, open, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogFiles } from '../../src/store/log-files.ts';

const OLD = '000000010000000000000001';
const CURRENT = '000000010000000000000002';

describe('the write-ahead log of the embedded engine', () => {
  let folder: string;
  let syncs: ReturnType<typeof vi.fn>;

  const write = async (name: string, secondsAgo: number) => {
    await writeFile(join(folder, name), 'log');
    const at = new Date(Date.now() - secondsAgo * 1000);
    await utimes(join(folder, name), at, at);
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-log-'));
    const probe = await open(join(folder, 'probe'), 'w');
    await probe.close();
    // the real call still runs; only who was synced is counted
    syncs = vi.spyOn(Object.getPrototypeOf(probe), 'datasync') as never;
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(folder, { recursive: true });
  });

  it('is synced whole the first time, and nothing else in its folder is', async () => {
    await write(OLD, 60);
    await write(CURRENT, 60);
    await new LogFiles(folder).sync();
    expect(syncs).toHaveBeenCalledTimes(2);
  });

  it('is synced again only where something was written since', async () => {
    await write(OLD, 60);
    await write(CURRENT, 60);
    const files = new LogFiles(folder);
    await files.sync();
    await write(CURRENT, 30);
    syncs.mockClear();
    await files.sync();
    expect(syncs).toHaveBeenCalledTimes(1);
  });

  it('is synced again while its last write is so young that another could bear the same time', async () => {
    await write(CURRENT, 0);
    const files = new LogFiles(folder);
    await files.sync();
    syncs.mockClear();
    await files.sync();
    expect(syncs).toHaveBeenCalledTimes(1);
  });
});
