import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ingestMany } from '../../src/ingest/ingest.ts';
import { rotateKeys } from '../../src/ingest/rotate-keys.ts';
import { DataKeys } from '../../src/store/data-keys.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { openTestEncryption, type TestEncryption } from '../helpers/encryption.ts';
import { collect, markdown } from '../helpers/ingest.ts';
import { at, findPostgres, type PostgresServer, startPostgres } from '../helpers/postgres-server.ts';

const programs = await findPostgres();

describe.skipIf(programs === undefined)('Encryption on a PostgreSQL server', { timeout: 300_000 }, () => {
  let server: PostgresServer;
  let place: TestEncryption;
  beforeAll(async () => {
    server = await startPostgres(programs);
    const url = (await server.createDatabase())();
    await migratePostgres(at(url));
    place = await openTestEncryption(['restricted'], {
      database: await openPostgres(at(url, { poolSize: 5 })),
    });
  }, 300_000);
  afterAll(async () => {
    await place?.close();
    await server?.stop();
  });

  const submissions = (batch: string, count: number) =>
    Array.from({ length: count }, (_, n) =>
      markdown(`Tide gauge number ${n} of batch ${batch} was renewed.`, {
        externalId: `${batch}-${n}.md`,
        access: { level: 'restricted', compartments: [], entries: [] },
      }),
    );
  const ingest = (batch: string, count: number) =>
    collect(ingestMany(place.test.parts, { authority: place.test.admin }, submissions(batch, count)));
  const status = () => DataKeys.as(place.test.database, 'indexer').status(place.test.tenant);
  const gauges = async () => {
    const { content } = await place.ask('tide gauge renewed', 60);
    return content.passages.filter(({ text }) => text.startsWith('Tide gauge')).length;
  };

  it('makes one key for documents that come at once, and keeps their texts to itself', async () => {
    await Promise.all([ingest('a', 8), ingest('b', 8)]);
    const { keys, waiting } = await status();
    expect(keys.map(({ purpose, rows }) => [purpose, rows])).toEqual([
      ['terms', 16],
      ['text', 16],
    ]);
    expect(waiting).toBe(0);
    expect(await place.test.rows(`select 1 from chunk where text <> '' or heading_path <> '{}'`)).toEqual([]);
    expect(await gauges()).toBe(16);
  });

  it('rotates keys in two processes while documents come in and questions are answered', async () => {
    const { database, tenant } = place.test;
    let isDone = false;
    const answers: number[] = [];
    const asking = (async () => {
      while (!isDone) answers.push(await gauges());
    })();
    const coming = ingest('c', 16);
    await rotateKeys({ database, keys: place.keys }, tenant, { dataKeys: true, termKeys: true });
    await Promise.all([place.newResealer().drain(), place.newResealer().drain(), coming]);
    // a writer may have asked for its key just before
    await place.newResealer().drain();
    isDone = true;
    await asking;
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.filter((found) => found < 16)).toEqual([]);
    expect(place.unopened).toEqual([]);
    expect(await gauges()).toBe(32);
    const { keys, waiting } = await status();
    expect(waiting).toBe(0);
    expect(keys.map(({ purpose, state, rows }) => [purpose, state, rows])).toEqual([
      ['terms', 'current', 32],
      ['text', 'current', 32],
    ]);
  });
});
