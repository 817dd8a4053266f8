import { Command, CommanderError } from 'commander';
import { isBulkheadError, toBulkheadError } from '../errors.ts';
import { serveCommand } from './serve.ts';
import { type Terminal, terminal } from './terminal.ts';

/**
 * Parses and runs one command.
 * @param argv as of the process
 * @returns the exit code: 0 done, 1 failed with one line that says why, 2 not a command
 */
export async function runCommandLine(argv: readonly string[], io: Terminal = terminal()): Promise<number> {
  const program = new Command('bulkhead')
    .description('Permission-aware retrieval: every answer filtered by who is asking')
    .exitOverride()
    .showHelpAfterError();
  serveCommand(program, io);
  try {
    await program.parseAsync([...argv]);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { code, detail } = toBulkheadError(error);
    io.fail(isBulkheadError(error) ? `${detail} (${code})` : `${error instanceof Error ? error.message : error}`);
    return 1;
  }
}
