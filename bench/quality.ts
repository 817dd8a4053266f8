/**
 * `npm run bench:quality`: how well the real pipeline answers the judged collections, for readers who see all, half,
 * a tenth and a hundredth of the documents.
 */
import { rmSync } from 'node:fs';
import { type Alternative, alternatives } from './lib/alternatives.ts';
import { COLLECTIONS_FOLDER, judgedCollections } from './lib/collections.ts';
import { copyOf, openFolder } from './lib/data-folder.ts';
import { ingestCollections } from './lib/judged-folder.ts';
import { DEPTH, openJudged, type ReaderReport, reportOn } from './lib/judged-run.ts';
import { describeMachine, machineLine } from './lib/machine.ts';
import { writeResults } from './lib/results.ts';
import { table } from './lib/table.ts';

interface CollectionReport {
  readonly collection: string;
  readonly documents: number;
  readonly chunks: number;
  readonly readers: readonly ReaderReport[];
  readonly alternatives: readonly Alternative[];
}

const LEAST_AGREEMENT = 0.99;

await main();

async function main(): Promise<void> {
  const collections = judgedCollections();
  if (collections.length === 0) {
    console.log(`SKIPPED: there are no judged collections in ${COLLECTIONS_FOLDER}.`);
    return;
  }
  const machine = describeMachine();
  const folder = copyOf(await ingestCollections(collections));
  const opened = await openFolder(folder);
  const reports: CollectionReport[] = [];
  try {
    for (const collection of collections) {
      const judged = await openJudged(opened.core, collection);
      const readers: ReaderReport[] = [];
      for (const { name } of judged.dealing.readers) {
        console.error(`${collection.name}: the reader who sees ${name}`);
        readers.push(await reportOn(judged, name));
      }
      reports.push({
        collection: collection.name,
        documents: collection.documents.length,
        chunks: judged.oracle.size,
        readers,
        alternatives: alternatives(judged),
      });
    }
  } finally {
    await opened.close();
    rmSync(folder, { recursive: true, force: true });
  }
  const text = reportText(machineLine(machine), reports);
  console.log(text);
  console.log(`Kept in ${writeResults('quality', machine.at, { machine, reports }, text)}`);
  if (reports.some(({ readers }) => readers.some(({ agreement }) => agreement < LEAST_AGREEMENT)))
    process.exitCode = 1;
}

function reportText(machine: string, reports: readonly CollectionReport[]): string {
  return `# Retrieval quality

${machine}

Through the real pipeline: documents ingested with labels, containers and entries dealt out at random; each question
searched as its reader, ${DEPTH} chunks a list, a document ranked by its best chunk. nDCG@10 as trec_eval computes it
(gain = grade, ideal from all judged documents), recall@100; both among the documents the reader may read, over the
questions with a relevant one. Agreement: of the first ten passages \`retrieve\` releases with an exact search over the
visible part in plain TypeScript (at least ${LEAST_AGREEMENT}).
${reports.map(collectionText).join('\n')}`;
}

function collectionText({
  collection,
  documents,
  chunks,
  readers,
  alternatives: others,
}: CollectionReport): string {
  const rows = readers.flatMap(({ reader, visibleDocuments, classes, agreement, methods }) =>
    methods.map(({ method, ndcg10, recall100, questions }, i) => [
      i === 0 ? `${reader} (${visibleDocuments} documents, ${classes} classes)` : '',
      method,
      ndcg10.toFixed(3),
      recall100.toFixed(3),
      String(questions),
      i === 0 ? agreement.toFixed(4) : '',
    ]),
  );
  return `
## ${collection}: ${documents} documents in ${chunks} chunks

${table(['reader', 'method', 'nDCG@10', 'recall@100', 'questions', 'agreement'], rows)}

What other settings would score, everything visible:

${table(
  ['setting', 'nDCG@10', 'recall@100'],
  others.map(({ setting, ndcg10, recall100 }) => [setting, ndcg10.toFixed(3), recall100.toFixed(3)]),
)}
`;
}
