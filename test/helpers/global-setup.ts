import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { dumpTemplate } from '../../src/store/open-embedded.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseTemplate: string;
  }
}

/** One migrated, empty data folder for the whole run; each process of tests starts from a copy of it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-template-'));
  const file = join(folder, 'template.tar');
  const blob = await dumpTemplate();
  await writeFile(file, Buffer.from(await blob.arrayBuffer()));
  project.provide('databaseTemplate', file);
  return () => rm(folder, { recursive: true, force: true });
}
