import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Command } from 'commander';
import { BulkheadError } from '../errors.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { Terminal } from './terminal.ts';

interface ImportOptions extends ApiOptions {
  readonly source: string;
  readonly issuer: string;
  readonly dryRun?: boolean;
  readonly removeMissing?: boolean;
  readonly allowRemovals?: string;
  readonly asOf?: string;
  readonly userId?: string;
  readonly groupId?: string;
}

interface Imported {
  readonly accounts: Readonly<Record<'added' | 'changed' | 'enabled' | 'disabled', number>>;
  readonly groups: Readonly<Record<'added' | 'changed' | 'removed', number>>;
  readonly memberships: Readonly<Record<'added' | 'removed', number>>;
  readonly lines: readonly string[];
  readonly more: boolean;
}

interface Source {
  readonly source: string;
  readonly as_of: string | null;
  readonly accounts: number;
  readonly disabled: number;
  readonly groups: number;
}

/** `bulkhead directory`: people and groups as their sources have them. */
export function directoryCommand(program: Command, terminal: Terminal): void {
  const directory = program
    .command('directory')
    .description('people and groups, by the source that keeps them');
  importCommand(directory, terminal);
  statusCommand(directory, terminal);
}

function importCommand(directory: Command, terminal: Terminal): void {
  const command = directory
    .command('import')
    .description('take people and groups over from a CSV or LDIF file; needs administer at the root')
    .argument('<file>', '.csv (kind,id,display_name,email,active,groups) or .ldif')
    .requiredOption('--source <name>', 'what the file is of; names its groups')
    .requiredOption('--issuer <name>', 'whose tokens its people bring')
    .option('--dry-run', 'tell what would change, and change nothing')
    .option('--remove-missing', 'disable the accounts and empty the groups that the file has no longer')
    .option('--allow-removals <number>', 'let as many go, where it is more than a fifth')
    .option('--as-of <instant>', 'when the file was current, in ISO 8601; now by default')
    .option('--user-id <attribute>', "of LDIF: which is the subject in people's tokens (uid)")
    .option('--group-id <attribute>', 'of LDIF: which names a group (cn)')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead directory import people.csv --source hr --issuer workforce --dry-run');
  command.action((file: string, options: ImportOptions) =>
    withClient(options, terminal, async (client) => {
      const body = await bodyOf(file, options);
      const report = await client.call<Imported>('POST', '/v1/directory:import', { body });
      show(report, options, terminal, (told) => [...told.lines, ...summary(told, options)]);
    }),
  );
}

async function bodyOf(file: string, options: ImportOptions): Promise<object> {
  const format = extname(file).slice(1).toLowerCase();
  if (format !== 'csv' && format !== 'ldif')
    throw new BulkheadError('unreadable_file', `${file} is neither .csv nor .ldif.`);
  const content = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new BulkheadError('unreadable_file', `${file} could not be read.`, { cause });
  });
  const { source, issuer, dryRun, removeMissing, allowRemovals, asOf, userId, groupId } = options;
  return {
    ...{ source, issuer, format, content },
    dry_run: dryRun === true,
    remove_missing: removeMissing === true,
    ...(allowRemovals !== undefined && { allow_removals: Number(allowRemovals) }),
    ...(asOf !== undefined && { as_of: asOf }),
    ...(userId !== undefined && { user_id: userId }),
    ...(groupId !== undefined && { group_id: groupId }),
  };
}

function summary(
  { accounts, groups, memberships, more }: Imported,
  { dryRun }: ImportOptions,
): readonly string[] {
  return [
    ...(more ? ['…'] : []),
    `accounts: ${accounts.added} added, ${accounts.changed} changed, ${accounts.enabled} re-enabled, ${accounts.disabled} disabled`,
    `groups: ${groups.added} added, ${groups.changed} changed, ${groups.removed} removed`,
    `memberships: ${memberships.added} added, ${memberships.removed} removed`,
    ...(dryRun === true ? ['Nothing was changed.'] : []),
  ];
}

function statusCommand(directory: Command, terminal: Terminal): void {
  const command = directory
    .command('status')
    .description('how old each source is and what it has; needs administer at the root')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead directory status --as stefan.wolf');
  command.action((options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      const status = await client.call<{ sources: readonly Source[] }>('GET', '/v1/directory');
      show(status, options, terminal, ({ sources }) => sources.map(lineOf));
    }),
  );
}

function lineOf({ source, as_of, accounts, disabled, groups }: Source): string {
  const age = as_of === null ? 'never known to be current' : `current at ${as_of}`;
  return `${source}: ${age}; ${accounts} accounts, ${disabled} of them disabled, ${groups} groups`;
}
