import type { Context } from 'hono';
import { BulkheadError } from '../../errors.ts';
import { mediaTypeOf } from '../body.ts';
import type { Env } from '../env.ts';

/** A question of 2,000 characters, each of four bytes written as `%XX`, and the token. */
export const FORM_BYTES = 32_000;

/**
 * The fields of a posted form. Its size is bounded by the middleware before.
 * @throws BulkheadError `unsupported_media_type`
 */
export async function readForm(c: Context<Env>): Promise<ReadonlyMap<string, string>> {
  if (mediaTypeOf(c.req.header('content-type')) !== 'application/x-www-form-urlencoded')
    throw new BulkheadError('unsupported_media_type', 'Send the form as a browser does.');
  return new Map(new URLSearchParams(await c.req.text()));
}
