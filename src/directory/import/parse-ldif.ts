/**
 * Content records of LDIF (RFC 2849). A parser of our own: the package `ldif` opens the file that a value like
 * `jpegPhoto:< file:///etc/passwd` names, fails on an empty value and on UTF-8, and takes a second for two thousand
 * records.
 */
import { badFile } from './directory-file.ts';

export interface LdifRecord {
  readonly dn: string;
  /** Values by attribute name, in small letters and without options. */
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

/** @throws BulkheadError `invalid_request` for what is not LDIF, for changes, and for values that are elsewhere */
export function parseLdif(text: string): readonly LdifRecord[] {
  return unfolded(text)
    .split(/\n{2,}/)
    .map((block) => block.split('\n').filter((line) => line !== '' && !/^(#|version:)/i.test(line)))
    .filter((lines) => lines.length > 0)
    .map(toRecord);
}

/** A line that begins with a space goes on with the one before; a comment may be folded too. */
function unfolded(text: string): string {
  return text
    .replace(/^\uFEFF/, '')
    .replace(/\r\n?/g, '\n')
    .replace(/\n /g, '');
}

const LINE = /^([a-z][\w.-]*)(?:;[\w.;-]*)?:(:|<)?[ ]*(.*)$/is;

function toRecord(lines: readonly string[]): LdifRecord {
  const attributes = new Map<string, string[]>();
  for (const line of lines) {
    const { name, value } = readLine(line);
    const values = attributes.get(name);
    if (values === undefined) attributes.set(name, [value]);
    else values.push(value);
  }
  const [dn, ...others] = attributes.get('dn') ?? [];
  if (dn === undefined || others.length > 0) throw badLine(lines[0] ?? '', 'has no one dn');
  if (attributes.has('changetype')) throw badLine(dn, 'is a change, not an entry');
  return { dn, attributes };
}

function readLine(line: string): { readonly name: string; readonly value: string } {
  const [, name, sign, value = ''] = LINE.exec(line) ?? [];
  if (name === undefined) throw badLine(line, 'is no line of LDIF');
  if (sign === '<') throw badLine(name, 'has a value that is in another file');
  return { name: name.toLowerCase(), value: sign === ':' ? decoded(name, value) : value };
}

/** A member or a lock that cannot be read would be one that is not there: somebody is left out of a deny, or let in. */
const NEVER_LOST = new Set(['member', 'uniquemember', 'memberuid', 'nsaccountlock', 'useraccountcontrol']);

/** What is not text, a photo, is of no use here and is let through as nothing. */
function decoded(name: string, value: string): string {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw badLine(name, 'has a value that is not base64');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(value, 'base64'));
  } catch {
    if (NEVER_LOST.has(name)) throw badLine(name, 'has a value that is not UTF-8');
    return '';
  }
}

function badLine(line: string, message: string) {
  return badFile([{ path: `"${line.slice(0, 60)}"`, message }]);
}
