/** Names of certificate subjects, compared attribute by attribute and never as text. */

interface NameAttribute {
  /** Dotted OID. */
  readonly type: string;
  readonly value: string;
}

/** From the root of the directory down, as a certificate has them; attributes of one part have no order. */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

/** RFC 4514 §3, with what OpenSSL and X.520 call the other common ones. */
const TYPES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SERIALNUMBER: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  STREET: '2.5.4.9',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  UID: '0.9.2342.19200300.100.1.1',
  DC: '0.9.2342.19200300.100.1.25',
};

/**
 * Reads the string form of RFC 4514, in which the last part of the name comes first: `CN=reports,O=Meridian,C=DE`.
 * @returns `undefined` for what is none, or names a type that is neither known nor an OID
 */
export function parseDistinguishedName(text: string): DistinguishedName | undefined {
  const name: NameAttribute[][] = [];
  for (const part of splitAt(text, ',')) {
    const attributes = splitAt(part, '+').map(parseAttribute);
    if (!attributes.every((attribute) => attribute !== undefined)) return undefined;
    name.unshift(attributes);
  }
  return name;
}

function parseAttribute(text: string): NameAttribute | undefined {
  const [, given = '', escaped = ''] = /^ *([A-Za-z]+|\d+(?:\.\d+)+) *= *(.*?) *$/su.exec(text) ?? [];
  const type = /^\d/.test(given) ? given : TYPES[given.toUpperCase()];
  const value = unescaped(escaped);
  return type === undefined || value === undefined || value === '' ? undefined : { type, value };
}

/** `undefined` for a backslash with nothing behind it, and for characters that must not stand without one. */
function unescaped(text: string): string | undefined {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; ) {
    const [, hex, escaped, plain] =
      /^(?:\\([0-9a-fA-F]{2})|\\([ "#+,;<=>\\])|([^"+,;<>\\\0]))/u.exec(text.slice(at)) ?? [];
    const taken = escaped ?? plain;
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (taken !== undefined) bytes.push(...Buffer.from(taken, 'utf8'));
    else return undefined;
    at += hex !== undefined ? 3 : escaped !== undefined ? 2 : (taken ?? '').length;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** At separators that no backslash stands before. */
function splitAt(text: string, separator: string): string[] {
  const parts = [''];
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    const last = parts.length - 1;
    if (char === '\\') {
      parts[last] += char + text.charAt(at + 1);
      at += 1;
    } else if (char === separator) parts.push('');
    else parts[last] += char;
  }
  return parts;
}

/** The same parts in the same order with the same values, letter by letter. */
export function isSameName(a: DistinguishedName, b: DistinguishedName): boolean {
  return canonical(a) === canonical(b);
}

function canonical(name: DistinguishedName): string {
  return JSON.stringify(
    name.map((part) => part.map(({ type, value }) => JSON.stringify([type, value])).sort()),
  );
}
