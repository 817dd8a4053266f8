import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { readCertificateNames } from '../../src/identity/certificate-names.ts';
import { readElements, readOid } from '../../src/identity/der.ts';
import { isSameName, parseDistinguishedName } from '../../src/identity/distinguished-name.ts';
import { type MadeCertificate, makeAuthority, makeCertificate } from '../helpers/certificates.ts';

let folder: string;
let authority: MadeCertificate;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-names-'));
  authority = await makeAuthority(folder, 'authority');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const namesOf = async (wanted: Parameters<typeof makeCertificate>[2]) =>
  readCertificateNames(new X509Certificate((await makeCertificate(folder, authority, wanted)).cert).raw);

describe('the names in a certificate', () => {
  it('are its subject from the root down, its URIs in order, and whether it may sign', async () => {
    const names = ['DNS:a.example', 'URI:spiffe://a/b', 'IP:10.0.0.1', 'URI:https://c/'];
    expect(await namesOf({ subject: '/C=DE/O=Meridian/CN=ü', names })).toEqual({
      subject: parseDistinguishedName('CN=ü,O=Meridian,C=DE'),
      uris: ['spiffe://a/b', 'https://c/'],
      mayIssue: false,
    });
    expect(readCertificateNames(new X509Certificate(authority.cert).raw).mayIssue).toBe(true);
  });

  it.each([
    [['keyUsage=digitalSignature'], false],
    [['keyUsage=digitalSignature,keyAgreement'], false],
    [['keyUsage=keyCertSign'], true],
    [['keyUsage=cRLSign'], true],
    [['basicConstraints=CA:FALSE'], false],
    [['basicConstraints=CA:TRUE'], true],
  ])('say with %j whether it may sign: %j', async (extensions, mayIssue) => {
    expect(await namesOf({ extensions })).toMatchObject({ mayIssue });
  });

  it('are read whole or not at all: no cut or changed certificate gives other bytes a meaning', async () => {
    const { cert } = await makeCertificate(folder, authority, { names: ['URI:spiffe://a/b'] });
    const { raw } = new X509Certificate(cert);
    for (let length = 0; length < raw.length; length += 1)
      expect(() => readCertificateNames(raw.subarray(0, length))).toThrow();
    expect(() => readCertificateNames(Buffer.concat([raw, raw]))).toThrow(RangeError);
    for (let at = 0; at < raw.length; at += 1) {
      const changed = Uint8Array.from(raw);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      try {
        readCertificateNames(changed);
      } catch (error) {
        expect(error).toSatisfy((thrown) => thrown instanceof RangeError || thrown instanceof TypeError);
      }
    }
  });
});

describe('DER', () => {
  it('is refused with an indefinite, an oversized or an overlong length, and with a tag of several octets', () => {
    for (const bytes of [
      [0x30, 0x80, 0, 0],
      [0x30, 0x85, 0, 0, 0, 0, 0],
      [0x30, 0x02, 0x05],
      [0x1f, 0x81, 0x00],
    ])
      expect(() => readElements(Uint8Array.from(bytes))).toThrow(RangeError);
  });

  it.each([
    [[0x55, 0x1d, 0x11], '2.5.29.17'],
    [[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], '1.2.840.113549.1.9.1'],
    [[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], '0.9.2342.19200300.100.1.25'],
    [[0x88, 0x37, 0x03], '2.999.3'],
  ])('%j is the OID %s', (content, oid) => {
    expect(readOid({ tag: 0x06, content: Uint8Array.from(content) })).toBe(oid);
  });
});

describe('a subject in the configuration', () => {
  const same = (a: string, b: string) => {
    const [one, other] = [parseDistinguishedName(a), parseDistinguishedName(b)];
    return one !== undefined && other !== undefined && isSameName(one, other);
  };

  it('is the same with other blanks, letter case of types, ways to escape, and order within a part', () => {
    expect(same('CN=a,O=b', 'cn = a , o = b')).toBe(true);
    expect(same('CN=a\\,b', 'CN=a\\2Cb')).toBe(true);
    expect(same('CN=ü', 'CN=\\C3\\BC')).toBe(true);
    expect(same('CN=a,O=b', '2.5.4.3=a,2.5.4.10=b')).toBe(true);
    expect(same('CN=a+UID=b', 'UID=b+CN=a')).toBe(true);
  });

  it('is another with any other letter, type, part, order or count', () => {
    for (const other of [
      'CN=A,O=b',
      'CN=a,OU=b',
      'CN=a',
      'O=b,CN=a',
      'CN=a,O=b,C=DE',
      'CN=a,O=b,O=b',
      'CN=a+O=b',
      'CN=a\\ ,O=b',
    ])
      expect(same('CN=a,O=b', other)).toBe(false);
  });

  it.each([
    '',
    'a',
    'CN=',
    'CN',
    '=a',
    'CN=a,',
    ',CN=a',
    'CN=a;O=b',
    'CN="a"',
    'CN=a\\',
    'CN=\\zz',
    'CN=\\ff',
    'XX=a',
    '/CN=a',
  ])('is none: %j', (text) => {
    expect(parseDistinguishedName(text)).toBeUndefined();
  });
});

describe('services.certificates', () => {
  const load = async (yaml: string) => {
    const file = join(folder, 'bulkhead.yaml');
    await writeFile(join(folder, 'bundle.pem'), authority.cert);
    await writeFile(file, yaml);
    return loadConfig({ BULKHEAD_CONFIG: file });
  };
  const source = (accept: string, name = 'mesh', bundle = 'bundle.pem') =>
    `services: { certificates: [{ name: ${name}, tenant: meridian, bundleFile: ${bundle}, accept: [${accept}] }] }`;

  it('are read with their bundles, which stand beside the file', async () => {
    const accept =
      '{ spiffe: "spiffe://a.example/b/c" }, { subject: "CN=x,O=y", service: x, rights: [read] }';
    expect((await load(source(accept))).certificates).toEqual([
      {
        name: 'mesh',
        tenant: 'meridian',
        bundle: authority.cert.trim(),
        accept: [
          { spiffe: 'spiffe://a.example/b/c' },
          { subject: 'CN=x,O=y', service: 'x', rights: ['read'] },
        ],
      },
    ]);
    expect((await load('{}')).certificates).toEqual([]);
  });

  it.each([
    'spiffe://a.example',
    'spiffe://a.example/',
    'spiffe://a.example/b/',
    'spiffe://a.example//b',
    'spiffe://a.example/./b',
    'spiffe://a.example/b/..',
    'spiffe://A.example/b',
    'spiffe://a.example:443/b',
    'spiffe://u@a.example/b',
    'spiffe://a.example/b?c',
    'spiffe://a.example/b#c',
    'spiffe://a.example/%62',
    'spiffe:///b',
    'https://a.example/b',
    ' spiffe://a.example/b',
  ])('take no SPIFFE id like %j', async (id) => {
    await expect(load(source(`{ spiffe: "${id}" }`))).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it.each([
    ['a service that no principal can name', source('{ spiffe: "spiffe://a/b", service: "a|b" }')],
    ['a right that there is not', source('{ spiffe: "spiffe://a/b", rights: [fly] }')],
    ['no right at all', source('{ spiffe: "spiffe://a/b", rights: [] }')],
    ['both a SPIFFE id and a subject', source('{ spiffe: "spiffe://a/b", subject: "CN=x" }')],
    ['nobody to accept', source('')],
    ['a bundle that is not there', source('{ subject: "CN=x" }', 'mesh', 'nowhere.pem')],
    ['the name of API keys', source('{ subject: "CN=x" }', 'key')],
    [
      'the name of an issuer',
      `${source('{ subject: "CN=x" }', 'workforce')}\nissuers: [{ name: workforce, tenant: meridian, issuer: "https://i.example", audience: a }]`,
    ],
    [
      'an issuer with the name of API keys',
      'issuers: [{ name: key, tenant: meridian, issuer: "https://i.example", audience: a }]',
    ],
  ])('are refused with %s', async (_, yaml) => {
    await expect(load(yaml)).rejects.toMatchObject({ code: 'config_invalid' });
  });
});
