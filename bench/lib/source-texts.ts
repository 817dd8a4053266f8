import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgedCollections } from './collections.ts';
import { PROJECT } from './folders.ts';

/** Texts to build from: the judged collections, or the fixtures where there are none. */
export function sourceTexts(): readonly string[] {
  const judged = judgedCollections().flatMap(({ documents }) => documents.map(({ text }) => text));
  return judged.length > 0 ? judged : fixtureTexts();
}

function fixtureTexts(): readonly string[] {
  const folder = join(PROJECT, 'fixtures/company/documents');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(md|txt)$/.test(name),
  );
  return names.sort().flatMap((name) => readFileSync(join(folder, name), 'utf8').split(/\n\s*\n/));
}
