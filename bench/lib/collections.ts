/** The judged collections of ../shared/data, which stay outside the project. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface BenchDocument {
  readonly id: string;
  readonly title?: string | undefined;
  readonly text: string;
}

interface Question {
  readonly id: string;
  readonly text: string;
}

/** Documents, questions, and how well each judged document answers each question. */
export interface Collection {
  readonly name: string;
  readonly documents: readonly BenchDocument[];
  readonly questions: readonly Question[];
  /** By question, then by document: the grade, 1 and higher. */
  readonly judgements: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

const DATA = resolve(import.meta.dirname, '../../../shared/data');
const NAMES = ['cranfield', 'vaswani'];

/** Those of the collections that this machine has. */
export function judgedCollections(): readonly Collection[] {
  return NAMES.filter((name) => existsSync(join(DATA, name, 'corpus.jsonl'))).map(readCollection);
}

export const COLLECTIONS_FOLDER = DATA;

function readCollection(name: string): Collection {
  const read = (file: string) =>
    readFileSync(join(DATA, name, file), 'utf8')
      .split('\n')
      .filter(Boolean);
  const judgements = new Map<string, Map<string, number>>();
  for (const line of read('qrels.tsv').slice(1)) {
    const [question = '', document = '', grade = '0'] = line.split('\t');
    const graded = judgements.get(question) ?? new Map<string, number>();
    judgements.set(question, graded.set(document, Number(grade)));
  }
  return {
    name,
    documents: read('corpus.jsonl').map((line): BenchDocument => JSON.parse(line)),
    questions: read('queries.jsonl').map((line): Question => JSON.parse(line)),
    judgements,
  };
}
