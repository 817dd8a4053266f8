import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'info' | 'warn' | 'error'>;

interface LogOptions {
  readonly level: string;
  /** Default: standard output. */
  readonly destination?: DestinationStream | undefined;
}

/**
 * One JSON line an event. Nothing here may hold a question, a title, a text or a token: say what happened by id,
 * code and count.
 */
export function createLog({ level, destination }: LogOptions): Log {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return destination === undefined ? pino(options) : pino(options, destination);
}

export interface ErrorSummary {
  readonly name: string;
  readonly code?: string;
  /** Where it was thrown, innermost first; no message. */
  readonly frames?: readonly string[];
  readonly cause?: ErrorSummary;
}

const FRAMES = 8;
const CAUSES = 4;

/**
 * An error as a log may hold it: kind, code and place. Messages stay out, since engines quote the text they
 * failed on.
 */
export function summarizeError(error: unknown, depth = 0): ErrorSummary {
  if (!(error instanceof Error)) return { name: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : sqlState(error);
  return {
    name: error.name,
    ...(code !== undefined && { code }),
    frames: framesOf(error),
    ...(error.cause !== undefined && depth < CAUSES && { cause: summarizeError(error.cause, depth + 1) }),
  };
}

function sqlState(error: Error): string | undefined {
  return 'sqlState' in error && typeof error.sqlState === 'string' ? error.sqlState : undefined;
}

function framesOf(error: Error): readonly string[] {
  const lines = (error.stack ?? '').split('\n').map((line) => line.trim());
  return lines.filter((line) => /^at .*:\d+:\d+\)?$/.test(line)).slice(0, FRAMES);
}
