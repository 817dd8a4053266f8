import { BulkheadError } from '../../errors.ts';

const UTF16_MARKS: readonly (readonly number[])[] = [
  [0xfe, 0xff],
  [0xff, 0xfe],
];

/** First bytes of formats that may hold no NUL; those of the rest are caught by their NULs. */
const SIGNATURES: Readonly<Record<string, readonly number[]>> = {
  PDF: [0x25, 0x50, 0x44, 0x46, 0x2d],
  ZIP: [0x50, 0x4b, 0x03, 0x04],
  PNG: [0x89, 0x50, 0x4e, 0x47],
  JPEG: [0xff, 0xd8, 0xff],
  gzip: [0x1f, 0x8b, 0x08],
  RTF: [0x7b, 0x5c, 0x72, 0x74, 0x66],
};

/** One control character in a hundred: text has hardly any, and no machine format so few. */
const CONTROLS_PER_HUNDRED = 1;
const FORGIVEN_CONTROLS = 2;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is counted
const CONTROL = /[\u0001-\u0008\u000B\u000E-\u001F\u007F]/g;

/**
 * Decodes a file as strict UTF-8; a byte order mark is dropped.
 * @throws BulkheadError `empty_document`, `binary_content`, or `invalid_encoding` with the byte offset
 */
export function decode(bytes: Uint8Array): string {
  if (UTF16_MARKS.some((mark) => startsWith(bytes, mark)))
    throw new BulkheadError(
      'invalid_encoding',
      'The text is UTF-16 (byte offset 0); only UTF-8 is accepted.',
    );
  refuseBinary(bytes);
  const invalid = firstInvalidByte(bytes);
  if (invalid !== undefined)
    throw new BulkheadError('invalid_encoding', `The text is not valid UTF-8 at byte offset ${invalid}.`);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  refuseControls(text);
  if (text.trim() === '') throw new BulkheadError('empty_document', 'The document holds no text.');
  return text;
}

function refuseBinary(bytes: Uint8Array): void {
  const format = Object.entries(SIGNATURES).find(([, signature]) => startsWith(bytes, signature))?.[0];
  if (format !== undefined)
    throw new BulkheadError('binary_content', `The content is a ${format} file, not text.`);
  const nul = bytes.indexOf(0);
  if (nul >= 0) throw new BulkheadError('binary_content', `The content has a NUL at byte offset ${nul}.`);
}

function refuseControls(text: string): void {
  const controls = text.match(CONTROL)?.length ?? 0;
  if (controls > FORGIVEN_CONTROLS && controls * 100 > text.length * CONTROLS_PER_HUNDRED)
    throw new BulkheadError('binary_content', `The content has ${controls} control characters.`);
}

function startsWith(bytes: Uint8Array, signature: readonly number[]): boolean {
  return signature.every((byte, i) => bytes[i] === byte);
}

/** Offset of the first byte of the first ill-formed sequence (Unicode 15, table 3-7). */
function firstInvalidByte(bytes: Uint8Array): number | undefined {
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return undefined;
}

/** The length of the well-formed sequence at the offset; 0 when it is ill-formed. */
function sequenceLength(bytes: Uint8Array, at: number): 0 | 1 | 2 | 3 | 4 {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const [lowest, highest] = secondByteRange(lead);
  const second = bytes[at + 1] ?? 0;
  if (second < lowest || second > highest) return 0;
  for (let i = 2; i < length; i += 1) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/** Narrower after four lead bytes, to exclude overlong forms, surrogates and what lies above U+10FFFF. */
function secondByteRange(lead: number): readonly [number, number] {
  if (lead === 0xe0) return [0xa0, 0xbf];
  if (lead === 0xed) return [0x80, 0x9f];
  if (lead === 0xf0) return [0x90, 0xbf];
  return lead === 0xf4 ? [0x80, 0x8f] : [0x80, 0xbf];
}
