import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from './folders.ts';

const RESULTS = join(PROJECT, 'bench/results');

/** Keeps a run: the figures for programs, the report for people. @returns where the report is */
export function writeResults(name: string, at: string, figures: unknown, report: string): string {
  mkdirSync(RESULTS, { recursive: true });
  const base = join(RESULTS, `${at.slice(0, 10)}-${name}`);
  writeFileSync(`${base}.json`, `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(`${base}.md`, report);
  return `${base}.md`;
}
