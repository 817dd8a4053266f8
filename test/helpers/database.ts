import { readFile } from 'node:fs/promises';
import { inject } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { openEmbedded } from '../../src/store/open-embedded.ts';

/** A fresh, empty, migrated database in memory. The caller closes it. */
export async function openTestDatabase(): Promise<Database> {
  const template = new Blob([new Uint8Array(await readFile(inject('databaseTemplate')))]);
  return openEmbedded({ template });
}
