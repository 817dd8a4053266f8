import { execFileSync } from 'node:child_process';

/** Says once that a tool is not here, and what is not tested without it. */
export function hasTool(command: string, args: readonly string[], skipped: string): boolean {
  try {
    execFileSync(command, args, { stdio: 'pipe', timeout: 30_000 });
    return true;
  } catch {
    process.stderr.write(`${skipped} is skipped: there is no ${command} here.\n`);
    return false;
  }
}
