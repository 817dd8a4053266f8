/** How this process reaches its stores and is reached itself: addresses, keys and certificates. */
import type { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import type { environmentSchema } from './environment.ts';
import { readSecret } from './secret-file.ts';

type Environment = z.output<typeof environmentSchema>;

export interface DatabaseConnection {
  readonly url: string;
  /** From a file; beats the one in the URL. */
  readonly password: string | undefined;
  /** PEM of the authorities that the server's certificate is verified against; absent = those of the system. */
  readonly ca: string | undefined;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
}

export interface QdrantConnection {
  readonly url: string;
  /** May search and read, and nothing else. */
  readonly readKey: string | undefined;
  /** May write; a retrieve process has none. */
  readonly writeKey: string | undefined;
  readonly ca: string | undefined;
  readonly timeoutMs: number;
  readonly quantization: 'none' | 'int8';
}

/** PEM, for this process's own listener. */
export interface ListenerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** @throws BulkheadError `config_invalid` for a file that cannot be read or a half of a pair */
export function databaseConnection(env: Environment): DatabaseConnection | undefined {
  if (env.DATABASE_URL === undefined) return undefined;
  return {
    url: env.DATABASE_URL,
    password: readSecret(env.DATABASE_PASSWORD_FILE),
    ca: readSecret(env.DATABASE_CA_FILE),
    poolSize: env.DATABASE_POOL_SIZE,
    statementTimeoutMs: env.DATABASE_STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: env.DATABASE_LOCK_TIMEOUT_MS,
  };
}

/** @throws BulkheadError `config_invalid`, also for an index without the database that it follows; `store_unsafe` */
export function qdrantConnection(env: Environment): QdrantConnection | undefined {
  if (env.QDRANT_URL === undefined) return undefined;
  if (env.DATABASE_URL === undefined)
    throw new BulkheadError(
      'config_invalid',
      'QDRANT_URL is set and DATABASE_URL is not: the embedded store brings its own index.',
    );
  if (env.NODE_ENV === 'production' && isSentInClear(env.QDRANT_URL))
    throw new BulkheadError(
      'store_unsafe',
      'Qdrant would be reached without TLS, with keys and vectors in clear. Set QDRANT_URL to its https address.',
    );
  const writeKey = readSecret(env.QDRANT_API_KEY_FILE) ?? env.QDRANT_API_KEY;
  return {
    url: env.QDRANT_URL,
    readKey: readSecret(env.QDRANT_READ_KEY_FILE) ?? writeKey,
    writeKey,
    ca: readSecret(env.QDRANT_CA_FILE),
    timeoutMs: env.QDRANT_TIMEOUT_MS,
    quantization: env.QDRANT_QUANTIZATION,
  };
}

/** Whether what is said to this URL can be read on the way. */
export function isSentInClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol !== 'https:' && !isThisMachine(hostname);
}

/** A host name, or an address with or without brackets, that nobody else's machine answers to. */
export function isThisMachine(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(host);
}

/** @throws BulkheadError `config_invalid` for a certificate without its key, or the other way round */
export function listenerCertificate(env: Environment): ListenerCertificate | undefined {
  const cert = readSecret(env.BULKHEAD_TLS_CERT);
  const key = readSecret(env.BULKHEAD_TLS_KEY);
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw new BulkheadError('config_invalid', 'BULKHEAD_TLS_CERT and BULKHEAD_TLS_KEY go together.');
  return { cert, key };
}
