import type { Command } from 'commander';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { ExplanationBody } from './api-types.ts';
import { labelText } from './layout.ts';
import type { Terminal } from './terminal.ts';

interface ExplainOptions extends ApiOptions {
  readonly subject?: string;
  readonly actor?: string;
}

const VERDICTS = {
  allow: 'may read it',
  deny: 'may not read it',
  stepUp: 'may read it after a stronger or fresher sign-in',
} as const;

/** `bulkhead explain`: why a subject may or may not read a document. */
export function explainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('explain')
    .description('why you, or somebody else, may or may not read a document')
    .argument('<document>', 'the id of the document, as retrieve shows it')
    .option('--subject <principal>', 'about somebody else; needs the right audit and a clearance of your own')
    .option('--actor <service>', 'a service acting for the subject')
    .option('--json', "the API's answer as it is");
  withApiOptions(
    command,
    "bulkhead explain 0b6f1c3e-… --as sofia.lind --subject 'user:workforce|tom.brandt'",
  );
  command.action((document: string, { subject, actor, ...options }: ExplainOptions) =>
    withClient(options, terminal, async (client) => {
      const body = { document, subject, actor };
      const explanation = await client.call<ExplanationBody>('POST', '/v1/explain', { body });
      show(explanation, options, terminal, (told) => tell(told, subject ?? 'You'));
    }),
  );
}

function tell({ decision, reason, label, steps }: ExplanationBody, who: string): readonly string[] {
  return [
    `${who} ${VERDICTS[decision]}${reason === null ? '' : `: ${reason}`}.${label === null ? '' : `  [${labelText(label)}]`}`,
    ...steps.map((step) => `  - ${step}`),
  ];
}
