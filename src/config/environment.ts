import { z } from 'zod';

const integer = (low: number, high: number) => z.coerce.number().int().min(low).max(high);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

/** The environment variables Bulkhead reads; the table in the README is made from the same list. */
export const environmentSchema = z.object({
  NODE_ENV: z.string().default('development'),
  PORT: integer(0, 65535).default(8080),
  BULKHEAD_HOST: z.string().min(1).default('127.0.0.1'),
  BULKHEAD_URL: z.url().optional(),
  BULKHEAD_DATA: z.string().min(1).default('./data'),
  BULKHEAD_CONFIG: z.string().min(1).optional(),
  BULKHEAD_DEMO: flag.default(true),
  BULKHEAD_MODEL: z.string().min(1).optional(),
  BULKHEAD_INGEST_WORKERS: integer(1, 64).optional(),
  BULKHEAD_WRITER: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,64}$/)
    .optional(),
  BULKHEAD_TOKEN: z.string().min(1).optional(),
  BULKHEAD_AS: z.string().min(1).optional(),
  BULKHEAD_SERVER: z.url().optional(),
  BULKHEAD_METRICS_PORT: integer(1, 65535).optional(),
  BULKHEAD_ROLE: z.enum(['retrieve', 'ingest', 'indexer', 'admin', 'audit', 'all']).default('all'),
  BULKHEAD_TLS_CERT: z.string().min(1).optional(),
  BULKHEAD_TLS_KEY: z.string().min(1).optional(),
  BULKHEAD_KEY_FILE: z.string().min(1).optional(),
  DATABASE_URL: z.string().min(1).optional(),
  DATABASE_PASSWORD_FILE: z.string().min(1).optional(),
  DATABASE_CA_FILE: z.string().min(1).optional(),
  DATABASE_POOL_SIZE: integer(1, 200).default(10),
  DATABASE_STATEMENT_TIMEOUT_MS: integer(100, 3_600_000).default(30_000),
  DATABASE_LOCK_TIMEOUT_MS: integer(10, 3_600_000).default(5_000),
  QDRANT_URL: z.url().optional(),
  QDRANT_API_KEY: z.string().min(1).optional(),
  QDRANT_API_KEY_FILE: z.string().min(1).optional(),
  QDRANT_READ_KEY_FILE: z.string().min(1).optional(),
  QDRANT_CA_FILE: z.string().min(1).optional(),
  QDRANT_TIMEOUT_MS: integer(10, 600_000).default(5_000),
  QDRANT_QUANTIZATION: z.enum(['none', 'int8']).default('none'),
  // node reads it: with it, whoever sits between is believed, whatever certificate they show
  NODE_TLS_REJECT_UNAUTHORIZED: z
    .string()
    .refine((value) => value !== '0', 'it is 0, which turns the verification of certificates off: unset it')
    .optional(),
  LOG_LEVEL: z.enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
});
