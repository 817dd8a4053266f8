import { type Command, InvalidArgumentError } from 'commander';
import { BulkheadError } from '../errors.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { AuditRecordsBody, AuditVerdictBody } from './api-types.ts';
import { table } from './layout.ts';
import type { Terminal } from './terminal.ts';

interface ListOptions extends ApiOptions {
  readonly limit: number;
  readonly kind?: string;
  readonly cursor?: string;
}

/** `bulkhead audit verify` and `bulkhead audit list`. */
export function auditCommand(program: Command, terminal: Terminal): void {
  const audit = program
    .command('audit')
    .description('read and verify the audit log; needs the right audit')
    .addHelpText('after', '\nExample:\n  bulkhead audit verify --as sofia.lind');
  verifyCommand(audit, terminal);
  listCommand(audit, terminal);
}

function verifyCommand(audit: Command, terminal: Terminal): void {
  const command = audit
    .command('verify')
    .description('recompute every chain and say where one is broken; exit code 1 if any is')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead audit verify --as sofia.lind');
  command.action((options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      const verdict = await client.call<AuditVerdictBody>('POST', '/v1/audit/verify');
      show(verdict, options, terminal, tell);
      const { length } = verdict.problems;
      if (length > 0)
        throw new BulkheadError(
          'audit_broken',
          `The audit log does not verify: ${counted(length, 'problem')}.`,
        );
    }),
  );
}

function tell({ chains, records, problems, losses }: AuditVerdictBody): readonly string[] {
  const read = `${counted(records, 'record')} in ${counted(chains, 'chain')}`;
  const restores = losses.map(
    ({ writer, kept, lost, declared }) =>
      `  ${writer}: a restore took back all after record ${kept}, up to ${lost} at least; declared ${declared}.`,
  );
  if (problems.length === 0) return [`${read}: all as they were written.`, ...restores];
  return [
    `${read}:`,
    ...restores,
    ...problems.map(
      ({ writer, seq, what, detail }) =>
        `  ${writer || 'checkpoint file'}, record ${seq}: ${what}. ${detail}`,
    ),
  ];
}

function listCommand(audit: Command, terminal: Terminal): void {
  const command = audit
    .command('list')
    .description('the newest records')
    .option('--limit <n>', 'how many, up to 200', toLimit, 20)
    .option('--kind <kind>', 'only of this kind, such as release or entry.added')
    .option('--cursor <text>', 'go on after an earlier page')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead audit list --kind entry.added --as sofia.lind');
  command.action(({ limit, kind, cursor, ...options }: ListOptions) =>
    withClient(options, terminal, async (client) => {
      const query = { limit, kind, cursor };
      const page = await client.call<AuditRecordsBody>('GET', '/v1/audit/records', { query });
      show(page, options, terminal, tellPage);
    }),
  );
}

function tellPage({ records, next_cursor }: AuditRecordsBody): readonly string[] {
  const rows = records.map(({ at, writer, seq, kind, id, body }) => [
    at,
    `${writer} ${seq}`,
    kind,
    who(body),
    id,
  ]);
  const more = next_cursor === null ? [] : [`more: --cursor ${next_cursor}`];
  return [...table([['AT', 'RECORD', 'KIND', 'BY', 'ID'], ...rows]), ...more];
}

function who(body: unknown): string {
  const subject = (body as { subject?: unknown } | null)?.subject;
  return typeof subject === 'string' ? subject : '-';
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function toLimit(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
