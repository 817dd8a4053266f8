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

/** How `pg` words the loss of a connection where neither the server nor the socket gave it a code. */
const LOST =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/;

export function toDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseError || isBulkheadError(error)) return error;
  const { code, constraint } = error as DriverError;
  if (typeof code !== 'string')
    return LOST.test(error.message) ? new DatabaseError('08006', undefined, error.message) : error;
  const sqlState = /^[0-9A-Z]{5}$/.test(code) ? code : '08006';
  return new DatabaseError(sqlState, typeof constraint === 'string' ? constraint : undefined, error.message);
}

/** SQLSTATE 42501, raised by row-level security, missing grants and the functions that check rights. */
export function isInsufficientPrivilege(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '42501';
}

/** The server is gone, going, or full: SQLSTATE class 08, 57P01–57P05 and 53300. Nothing is wrong with the request. */
export function isOutage(error: unknown): boolean {
  return error instanceof DatabaseError && /^(08|57P0|53300)/.test(error.sqlState);
}

export function isUniqueViolation(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '23505';
}
