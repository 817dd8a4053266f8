import { BulkheadError } from '../../errors.ts';

const BY_EXTENSION: Readonly<Record<string, string>> = {
  md: 'text/markdown',
  markdown: 'text/markdown',
  txt: 'text/plain',
  text: 'text/plain',
  html: 'text/html',
  htm: 'text/html',
  jsonl: 'application/jsonl',
  ndjson: 'application/jsonl',
  csv: 'text/csv',
};

/** The media type that a file name's extension stands for; `undefined` when it stands for none of ours. */
export function mediaTypeOf(fileName: string): string | undefined {
  const extension = /\.([A-Za-z0-9]+)$/.exec(fileName)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined;
}

/**
 * Type and subtype of a `Content-Type`, in lower case.
 * @throws BulkheadError `unsupported_media_type` when it names a character set other than UTF-8
 */
export function essence(mediaType: string): string {
  const [type = '', ...parameters] = mediaType.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset !== undefined && !['utf-8', 'utf8', 'us-ascii'].includes(charset.replaceAll('"', '')))
    throw new BulkheadError('unsupported_media_type', 'Only UTF-8 text is accepted.');
  return type;
}
