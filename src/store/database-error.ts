import { isBulkheadError } from '../errors.ts';

/**
 * A database error without its statement, parameters and values: drivers attach whole documents to them.
 * Quoted parts of the message are values or names and go too.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  constructor(
    /** SQLSTATE, PostgreSQL manual appendix A; `08006` when the connection failed. */
    readonly sqlState: string,
    readonly constraint: string | undefined,
    message: string,
  ) {
    super(`${sqlState} ${message.replace(/(["'“]).*?(["'”])/gs, '"…"')}`);
  }
}

interface DriverError {
  readonly code?: unknown;
  readonly constraint?: unknown;
  readonly message?: unknown;
}

export function toDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseError || isBulkheadError(error)) return error;
  const { code, constraint } = error as DriverError;
  if (typeof code !== 'string') return error;
  const sqlState = /^[0-9A-Z]{5}$/.test(code) ? code : '08006';
  return new DatabaseError(sqlState, typeof constraint === 'string' ? constraint : undefined, error.message);
}

/** SQLSTATE 42501, raised by row-level security, missing grants and the functions that check rights. */
export function isInsufficientPrivilege(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '42501';
}

export function isUniqueViolation(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '23505';
}
