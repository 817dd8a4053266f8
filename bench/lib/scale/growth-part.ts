/** Growth and revocation, on data sets and servers of their own. */
import type { Embedder } from '../../../src/embed/embedder.ts';
import { calibrate } from './calibrate.ts';
import { questionsOf } from './corpus.ts';
import { openDataSet } from './data-set.ts';
import {
  chunkSpec,
  classSpec,
  type GrowthStep,
  growthTable,
  growthVerdict,
  measureGroups,
  measureGrowth,
} from './growth.ts';
import { memoryTable } from './memory.ts';
import { measureRevocation } from './revocation.ts';
import { revocationText, revocationVerdicts } from './revocation-report.ts';
import type { Section, Sizes } from './section.ts';
import { fullSpec } from './spec.ts';

const CHUNK_STEPS = [10_000, 100_000, 1_000_000];
const CLASS_STEPS = [10, 100_000];
const CLASS_CHUNKS = 100_000;

export async function runGrowth(embedder: Embedder, size: Sizes): Promise<readonly Section[]> {
  const chunkSteps = CHUNK_STEPS.filter((chunks) => chunks <= size.maxChunks);
  const byChunks = await measureGrowth(
    chunkSteps.map((chunks) => ({ size: chunks, spec: chunkSpec(chunks) })),
    embedder,
    size.questions,
    size.fresh,
  );
  const chunks = Math.min(CLASS_CHUNKS, size.maxChunks);
  const byClasses = await measureGrowth(
    CLASS_STEPS.filter((classes) => classes <= chunks).map((classes) => ({
      size: classes,
      spec: classSpec(chunks, classes),
    })),
    embedder,
    size.questions,
    size.fresh,
  );
  return [growthSection(chunks, byChunks, byClasses)];
}

function growthSection(
  chunks: number,
  byChunks: readonly GrowthStep[],
  byClasses: readonly GrowthStep[],
): Section {
  const memories = byChunks.flatMap(({ memory }) => memory ?? []);
  return {
    title: 'Growth',
    text: `Over HTTP, all sizes open at a time and asked in turn. The caller sees 2,000 chunks in one range, whatever else there is:

${growthTable('chunks they do not see', byChunks)}

The caller sees a tenth of ${chunks} chunks, and of the classes:

${growthTable('classes', byClasses)}

${memoryTable(memories)}`,
    verdicts: [growthVerdict('chunks', byChunks, 2), growthVerdict('classes', byClasses, 1.3)],
    figures: { byChunks, byClasses },
  };
}

/** On the contest's data set: the caller stays who they are, and is in more and more groups. */
export async function runGroups(embedder: Embedder, size: Sizes): Promise<Section> {
  const data = await openDataSet(fullSpec(size.chunks), embedder, {
    fresh: size.fresh,
    withUnprotected: true,
  });
  try {
    await calibrate(data, false);
    const byGroups = await measureGroups(data, questionsOf(data.pieces, size.questions));
    return {
      title: 'Groups',
      text: `The caller sees a hundredth of the chunks, through more and more groups, each with an entry of its own on the container:

${growthTable('groups', byGroups)}`,
      verdicts: [growthVerdict('groups', byGroups, 1.3)],
      figures: byGroups,
    };
  } finally {
    await data.close();
  }
}

export async function runRevocation(embedder: Embedder, size: Sizes): Promise<Section> {
  const data = await openDataSet(chunkSpec(size.maxChunks), embedder, {
    fresh: size.fresh,
    withUnprotected: false,
    own: true,
  });
  try {
    await calibrate(data, false);
    const result = await measureRevocation(data);
    return {
      title: 'Revocation',
      text: revocationText(result),
      verdicts: revocationVerdicts(result),
      figures: result,
    };
  } finally {
    await data.close();
  }
}
