import { BulkheadError, isBulkheadError } from '../errors.ts';

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
  readonly syscall?: unknown;
}

/** How `pg` words the loss of a connection where neither the server nor the socket gave it a code. */
const LOST =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout e|Query read timeout|The server does not support SSL|There was an error establishing an SSL)/;
/** Sockets, name resolution, TLS. */
const CONNECTION =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|EAI_|ENOTFOUND|ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|.*SELF_SIGNED)/;
/** Two of class and three of subclass; none is of letters alone, as `EPIPE` is. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;

/** Errors of the driver and the server as ours; whatever else was thrown stays what it is. */
export function toDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseError || isBulkheadError(error)) return error;
  const { code, constraint, syscall } = error as DriverError;
  if (typeof code === 'string' && SQLSTATE.test(code))
    return new DatabaseError(code, typeof constraint === 'string' ? constraint : undefined, error.message);
  const isLost =
    typeof code === 'string' ? CONNECTION.test(code) || syscall === 'connect' : LOST.test(error.message);
  return isLost ? new DatabaseError('08006', undefined, error.message || String(code)) : error;
}

/** As `toDatabaseError`, with every outage as the one error that asks the caller to come again. */
export function toCallersError(error: unknown): unknown {
  const failure = toDatabaseError(error);
  if (!(failure instanceof DatabaseError) || !OUTAGE.test(failure.sqlState)) return failure;
  return new BulkheadError('database_unavailable', 'The database did not answer. Try again shortly.', {
    retryAfterSeconds: 2,
    cause: failure,
  });
}

/**
 * The server is gone, going, full, a standby now, or too slow; nothing is wrong with the request. SQLSTATE classes 08, 53
 * and 58, 57P01–57P05, 57014 and 55P03 (statement and lock timeouts), 25P03, 25006 (read-only: no longer the primary).
 */
const OUTAGE = /^(08|53|58|57P0|57014$|55P03$|25P03$|25006$)/;

/** SQLSTATE 42501, raised by row-level security, missing grants and the functions that check rights. */
export function isInsufficientPrivilege(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '42501';
}

/** What `toCallersError` makes of an outage. */
export function isOutage(error: unknown): error is BulkheadError {
  return isBulkheadError(error) && error.code === 'database_unavailable';
}

export function isUniqueViolation(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState === '23505';
}
