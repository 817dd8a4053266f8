/** The command-line entry, and the only file that wires commands to the program. */
import { runCommandLine } from './cli/command-line.ts';

process.exitCode = await runCommandLine(process.argv);
