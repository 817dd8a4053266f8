const NEWLINE = 0x0a;

export type Line =
  | { readonly kind: 'line'; readonly number: number; readonly bytes: Uint8Array }
  | { readonly kind: 'too-long'; readonly number: number }
  /** The last one: what follows was not read. */
  | { readonly kind: 'too-many'; readonly number: number };

export interface LineBounds {
  readonly maxLines: number;
  readonly maxLineBytes: number;
}

/**
 * The lines of a stream, numbered from 1, blank ones left out. Never more than one line is held, and of one that
 * is too long nothing.
 */
export async function* readLines(
  stream: AsyncIterable<Uint8Array>,
  { maxLines, maxLineBytes }: LineBounds,
): AsyncGenerator<Line> {
  const line = new OpenLine(maxLineBytes);
  for await (const chunk of stream) {
    for (let start = 0; start < chunk.length; ) {
      const end = chunk.indexOf(NEWLINE, start);
      line.add(chunk.subarray(start, end === -1 ? chunk.length : end));
      if (end === -1) break;
      start = end + 1;
      const closed = line.close();
      if (closed === undefined) continue;
      if (closed.number > maxLines) {
        yield { kind: 'too-many', number: closed.number };
        return;
      }
      yield closed;
    }
  }
  const last = line.close();
  if (last !== undefined) yield last.number > maxLines ? { kind: 'too-many', number: last.number } : last;
}

class OpenLine {
  readonly #maxBytes: number;
  #number = 1;
  #size = 0;
  #pieces: Uint8Array[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(piece: Uint8Array): void {
    this.#size += piece.length;
    if (this.#size > this.#maxBytes) this.#pieces = [];
    else if (piece.length > 0) this.#pieces.push(piece);
  }

  /** The finished line, and an empty one begun; `undefined` for a blank line. */
  close(): Line | undefined {
    const [number, size, pieces] = [this.#number, this.#size, this.#pieces];
    this.#number += 1;
    this.#size = 0;
    this.#pieces = [];
    if (size > this.#maxBytes) return { kind: 'too-long', number };
    const bytes = Buffer.concat(pieces);
    return isBlank(bytes) ? undefined : { kind: 'line', number, bytes };
  }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
