/** As much of DER (X.690) as the names in a certificate need. Whatever is not definite and complete is refused. */

export interface DerElement {
  /** Identifier octet, constructed bit and class included. */
  readonly tag: number;
  readonly content: Uint8Array;
}

export const TAG = {
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  printableString: 0x13,
  ia5String: 0x16,
} as const;

/** @throws RangeError */
export function readElements(bytes: Uint8Array): readonly DerElement[] {
  const elements: DerElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    const { element, end } = readAt(bytes, at);
    elements.push(element);
    at = end;
  }
  return elements;
}

/** The elements inside of the only one. @throws RangeError */
export function readSequence(bytes: Uint8Array): readonly DerElement[] {
  const [element, ...rest] = readElements(bytes);
  if (element?.tag !== TAG.sequence || rest.length > 0) throw malformed();
  return readElements(element.content);
}

/** Tags above 30 and lengths above four octets are in no certificate that is worth reading. */
function readAt(bytes: Uint8Array, at: number): { element: DerElement; end: number } {
  const tag = octet(bytes, at);
  if ((tag & 0x1f) === 0x1f) throw malformed();
  const first = octet(bytes, at + 1);
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const octets = first - 0x80;
    if (octets < 1 || octets > 4) throw malformed();
    length = 0;
    for (let i = 0; i < octets; i += 1) length = length * 256 + octet(bytes, start + i);
    start += octets;
  }
  if (start + length > bytes.length) throw malformed();
  return { element: { tag, content: bytes.subarray(start, start + length) }, end: start + length };
}

/** Dotted, such as `2.5.29.17`. @throws RangeError */
export function readOid({ tag, content }: DerElement): string {
  if (tag !== TAG.oid || content.length === 0 || (content.at(-1) ?? 0) >= 0x80) throw malformed();
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw malformed();
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [head = 0, ...tail] = arcs;
  const root = Math.min(2, Math.floor(head / 40));
  return [root, head - root * 40, ...tail].join('.');
}

/** UTF-8, printable and IA5 strings, in the latter two ASCII alone. @throws RangeError for other kinds of text */
export function readText({ tag, content }: DerElement): string {
  if (tag === TAG.utf8String) return new TextDecoder('utf-8', { fatal: true }).decode(content);
  if (tag !== TAG.printableString && tag !== TAG.ia5String) throw malformed();
  return readAscii(content);
}

/** @throws RangeError for anything that is not ASCII */
export function readAscii(content: Uint8Array): string {
  if (content.some((byte) => byte >= 0x80)) throw malformed();
  return Buffer.from(content).toString('latin1');
}

function octet(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw malformed();
  return byte;
}

export function malformed(): RangeError {
  return new RangeError('the DER is malformed');
}
