import { defineConfig } from 'vitest/config';
import { SlowestFirst } from './test/helpers/slowest-first.ts';

/** What starts programs, replaces modules, or measures to the millisecond or the megabyte what its process takes. */
const FOLDERS = 'contract|e2e|keycloak|servers';
const UNITS = 'embed-*|guard-recognizers|http-parts|parse-pool|qdrant-faults|rate-limits|stream-watch';

const each = {
  pool: 'forks' as const,
  testTimeout: 30_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  test: {
    globalSetup: ['test/helpers/global-setup.ts'],
    // the embedding model and PGlite each take a core
    maxWorkers: 2,
    sequence: { sequencer: SlowestFirst },
    projects: [
      {
        test: {
          ...each,
          name: 'alone',
          include: [`test/@(${FOLDERS})/**/*.test.{ts,tsx}`, `test/unit/@(${UNITS}).test.{ts,tsx}`],
        },
      },
      {
        // loading the source and starting PGlite takes a process longer than most files take after it
        test: {
          ...each,
          name: 'together',
          isolate: false,
          include: [`test/!(${FOLDERS}|unit)/**/*.test.{ts,tsx}`, `test/unit/!(${UNITS}).test.{ts,tsx}`],
        },
      },
    ],
  },
});
