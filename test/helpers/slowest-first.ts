import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Of what takes minutes or half of one, the longest first. */
const SLOWEST = [
  'e2e/cli',
  'e2e/kill',
  'e2e/company',
  'e2e/audit-tamper',
  'e2e/import-rules',
  'unit/parse-pool',
  'property/agreement',
  'http/browser-session',
  'unit/ingest-company',
  'property/ingest-crash',
];

/**
 * The files that take a process each before those that share one, for a shared process ends when the next in line has
 * its own; within both the slowest first, so that no worker is left with a long one in the end.
 */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => shares(a) - shares(b) || place(a) - place(b));
  }
}

const shares = ({ project }: TestSpecification) => Number(!project.config.isolate);

function place({ moduleId }: TestSpecification): number {
  const found = SLOWEST.findIndex((name) => moduleId.endsWith(`test/${name}.test.ts`));
  return found === -1 ? SLOWEST.length : found;
}
