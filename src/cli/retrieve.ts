import { type Command, InvalidArgumentError } from 'commander';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { AnswerBody } from './api-types.ts';
import { indented, labelText } from './layout.ts';
import type { Terminal } from './terminal.ts';

interface RetrieveOptions extends ApiOptions {
  readonly limit?: number;
  readonly container?: string;
  readonly source?: string;
  readonly type?: string;
  readonly level?: string;
  readonly from?: string;
  readonly until?: string;
}

type Passage = AnswerBody['passages'][number];

/** `bulkhead retrieve`: a question, and the passages that whoever asks may read. */
export function retrieveCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('retrieve')
    .description('ask, and read the passages that you are cleared for')
    .argument('<question>')
    .option('--limit <n>', 'how many passages, 10 by default', toLimit)
    .option('--container <path>', 'only from here and below')
    .option('--source <name>', 'only from this source')
    .option('--type <media type>', 'only of this media type')
    .option('--level <name>', 'nothing above this level')
    .option('--from <date>', 'no content older than this')
    .option('--until <date>', 'only content from before this')
    .option('--json', "the API's answer as it is");
  withApiOptions(
    command,
    "bulkhead retrieve 'When are salaries paid in December?' --as anna.keller --limit 3",
  );
  command.action((question: string, options: RetrieveOptions) =>
    withClient(options, terminal, async (client) => {
      const { container, source, type: media_type, level: max_level, from, until, limit } = options;
      const filters = { container, source, media_type, max_level, from, until };
      const answer = await client.call<AnswerBody>('POST', '/v1/retrieve', {
        body: { query: question, limit, filters },
      });
      show(answer, options, terminal, tell);
    }),
  );
}

function tell({ passages, complete, receipt, freshness }: AnswerBody): readonly string[] {
  const nothing = passages.length === 0 ? ['Nothing that you may read answers this.', ''] : [];
  const notes = [
    `receipt ${receipt.id}`,
    ...(complete ? [] : ['not complete: a passage could not be returned']),
    ...(freshness.index === 'current' ? [] : [`the index is ${freshness.index} behind`]),
  ];
  return [...passages.flatMap(tellPassage), ...nothing, notes.join(' · ')];
}

function tellPassage(passage: Passage): readonly string[] {
  const { rank, title, heading_path, label, container, source, external_id, score, redacted } = passage;
  const headings = heading_path.filter((heading) => heading !== title);
  return [
    `${rank}. ${[title, ...headings].join(' › ')}  [${labelText(label)}]`,
    `   ${container} · ${source}: ${external_id} · score ${score.toFixed(2)}`,
    `   document ${passage.document_id}`,
    ...(redacted.length === 0 ? [] : [`   redacted: ${redacted.join(', ')}`]),
    '',
    ...indented(passage.text.trim(), '   '),
    '',
  ];
}

function toLimit(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
