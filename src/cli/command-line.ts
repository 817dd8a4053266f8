import { Command, CommanderError, type OutputConfiguration } from 'commander';
import { toBulkheadError } from '../errors.ts';
import { auditCommand } from './audit.ts';
import { directoryCommand } from './directory.ts';
import { doctorCommand } from './doctor.ts';
import { encryptionCommand } from './encryption.ts';
import { explainCommand } from './explain.ts';
import { grantCommand } from './grant.ts';
import { indexCommand } from './index-commands.ts';
import { ingestCommand } from './ingest.ts';
import { initCommand } from './init.ts';
import { keyCommand } from './key.ts';
import { labelCommand } from './label.ts';
import { migrateCommand } from './migrate.ts';
import { moveCommand } from './move.ts';
import { FailedQuietly, lineOf, RefusedError } from './problem.ts';
import { reembedCommand } from './reembed.ts';
import { restoredCommand } from './restored.ts';
import { retrieveCommand } from './retrieve.ts';
import { revokeCommand } from './revoke.ts';
import { serveCommand } from './serve.ts';
import { type Terminal, terminal } from './terminal.ts';
import { tokenCommand } from './token.ts';
import { version } from './version.ts';

const COMMANDS = [
  ...[
    initCommand,
    serveCommand,
    migrateCommand,
    ingestCommand,
    tokenCommand,
    retrieveCommand,
    explainCommand,
  ],
  ...[
    grantCommand,
    revokeCommand,
    labelCommand,
    moveCommand,
    keyCommand,
    auditCommand,
    doctorCommand,
    reembedCommand,
    indexCommand,
    restoredCommand,
    encryptionCommand,
    directoryCommand,
  ],
];

/**
 * Parses and runs one command.
 * @param argv as of the process
 * @returns the exit code: 0 done, 1 failed with one line that says why, 2 not a command
 */
export async function runCommandLine(argv: readonly string[], io: Terminal = terminal()): Promise<number> {
  const program = new Command('bulkhead')
    .description('Permission-aware retrieval: every answer filtered by who is asking')
    .version(version(), '-V, --version', 'print the version')
    .addHelpText('after', '\nExample:\n  bulkhead serve')
    .configureOutput(output(io))
    .exitOverride();
  for (const add of COMMANDS) add(program, io);
  try {
    await program.parseAsync([...argv]);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof FailedQuietly)) io.fail(lineFor(error));
    return 1;
  }
}

function output(io: Terminal): OutputConfiguration {
  return { outputError: (line) => io.fail(`${line.replace(/^error: /, '').trim()} (--help has the usage)`) };
}

/** What was not thrown on purpose tells its own message: no log has it, and whoever reads it has the machine. */
function lineFor(error: unknown): string {
  if (error instanceof RefusedError) return lineOf(error);
  const known = toBulkheadError(error);
  if (known.code !== 'internal') return lineOf(known);
  const cause = known.cause instanceof Error ? known.cause.message : known.detail;
  return lineOf({ code: known.code, detail: known === error ? known.detail : cause });
}
