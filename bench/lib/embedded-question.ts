import type { Embedder } from '../../src/embed/embedder.ts';
import { prepareQuery } from '../../src/retrieve/2-prepare.ts';
import type { Prepared } from '../../src/retrieve/stages.ts';

/** A question whose embedding is there: what is measured after it does not wait for the model. */
export interface EmbeddedQuestion extends Prepared {
  readonly vector: Float32Array;
}

export async function embeddedQuestion(
  embedder: Pick<Embedder, 'embedQuery'>,
  question: string,
): Promise<EmbeddedQuestion> {
  const prepared = await prepareQuery(embedder, question);
  return { ...prepared, vector: await prepared.vector };
}
