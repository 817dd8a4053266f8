import {
  type DerElement,
  malformed,
  readAscii,
  readElements,
  readOid,
  readSequence,
  readText,
  TAG,
} from './der.ts';
import type { DistinguishedName } from './distinguished-name.ts';

/** Whom a certificate names, and what it may be used for, read from its bytes (RFC 5280 §4.1). */
export interface CertificateNames {
  readonly subject: DistinguishedName;
  /** Of the subject alternative name, in order. */
  readonly uris: readonly string[];
  /** Whether it may sign certificates or revocation lists; a name may not. */
  readonly mayIssue: boolean;
}

const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const KEY_USAGE = '2.5.29.15';
const BASIC_CONSTRAINTS = '2.5.29.19';
const URI = 0x86;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const BOOLEAN = 0x01;
/** Bits 5 and 6 of the first octet: keyCertSign, cRLSign (RFC 5280 §4.2.1.3). */
const ISSUING_BITS = 0b0000_0110;

/** @throws RangeError */
export function readCertificateNames(der: Uint8Array): CertificateNames {
  const [tbs] = readSequence(der);
  if (tbs?.tag !== TAG.sequence) throw malformed();
  const fields = readElements(tbs.content);
  // version (absent in X.509v1), serial number, signature, issuer, validity, subject
  const subject = fields[fields[0]?.tag === VERSION ? 5 : 4];
  if (subject?.tag !== TAG.sequence) throw malformed();
  const extensions = readExtensions(fields.find(({ tag }) => tag === EXTENSIONS));
  return {
    subject: readName(subject.content),
    uris: readUris(extensions.get(SUBJECT_ALTERNATIVE_NAME)),
    mayIssue: isAuthority(extensions.get(BASIC_CONSTRAINTS)) || signsOthers(extensions.get(KEY_USAGE)),
  };
}

function readName(content: Uint8Array): DistinguishedName {
  return readElements(content).map((part) => {
    if (part.tag !== TAG.set) throw malformed();
    return readElements(part.content).map((attribute) => {
      const [type, value, ...rest] = readElements(attribute.content);
      if (type === undefined || value === undefined || rest.length > 0) throw malformed();
      return { type: readOid(type), value: readText(value) };
    });
  });
}

/** Values by OID; one that is there twice is malformed (RFC 5280 §4.2). */
function readExtensions(field: DerElement | undefined): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  if (field === undefined) return found;
  for (const { content } of readSequence(field.content)) {
    const [id, ...rest] = readElements(content);
    const value = rest.at(-1);
    if (id === undefined || value?.tag !== TAG.octetString) throw malformed();
    const oid = readOid(id);
    if (found.has(oid)) throw malformed();
    found.set(oid, value.content);
  }
  return found;
}

function readUris(value: Uint8Array | undefined): readonly string[] {
  if (value === undefined) return [];
  return readSequence(value).flatMap(({ tag, content }) => (tag === URI ? [readAscii(content)] : []));
}

function isAuthority(value: Uint8Array | undefined): boolean {
  if (value === undefined) return false;
  const [first] = readSequence(value);
  return first?.tag === BOOLEAN && first.content[0] !== 0;
}

function signsOthers(value: Uint8Array | undefined): boolean {
  if (value === undefined) return false;
  const [bits] = readElements(value);
  // the first octet counts the unused bits
  if (bits?.tag !== TAG.bitString || bits.content[1] === undefined) throw malformed();
  return (bits.content[1] & ISSUING_BITS) !== 0;
}
