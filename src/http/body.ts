import { isUtf8 } from 'node:buffer';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BulkheadError } from '../errors.ts';

const MEGABYTE = 1_000_000;
export const JSON_BYTES = 2 * MEGABYTE;
export const DOCUMENT_BYTES = 20 * MEGABYTE;

/**
 * Refuses a larger body by its Content-Length, or as soon as that much has come in; then, and before anything is
 * parsed, one that is not UTF-8: decoders would repair it silently.
 */
export function jsonBodyUpTo(maxBytes: number): MiddlewareHandler[] {
  const tooLarge = () =>
    new BulkheadError('payload_too_large', `The body may be ${maxBytes / MEGABYTE} MB at most.`);
  const counted = bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw tooLarge();
    },
  });
  const limit: MiddlewareHandler = async (c, next) => {
    const declared = declaredLength(c);
    if (declared === undefined) return counted(c, next);
    if (declared > maxBytes) throw tooLarge();
    return next();
  };
  return [limit, requireUtf8];
}

/** The server lets no more through than was declared. Looking at the body itself would make a stream of it first. */
function declaredLength({ req }: Context): number | undefined {
  const declared = req.header('content-length') ?? '';
  const isPlain = /^\d+$/.test(declared) && req.header('transfer-encoding') === undefined;
  return isPlain ? Number(declared) : undefined;
}

const requireUtf8: MiddlewareHandler = async ({ req }, next) => {
  const bytes = await req.arrayBuffer().catch((cause: unknown) => {
    throw new BulkheadError('invalid_request', 'The body ended before it was complete.', { cause });
  });
  if (!isUtf8(bytes)) throw new BulkheadError('malformed_json', 'The body is not UTF-8.');
  // hono keeps promises here, whatever its types say; from bytes alone it makes a response and a stream to read a text
  req.bodyCache.text = Promise.resolve(UTF8.decode(bytes)) as never;
  return next();
};

const UTF8 = new TextDecoder();

/** The media type of the request, in lower case and without its parameters. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}
