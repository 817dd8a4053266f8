/** Authorities and certificates, made by the machine's openssl. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout'];

/** PEM, and where the files are. */
export interface MadeCertificate {
  readonly cert: string;
  readonly key: string;
  readonly files: { readonly cert: string; readonly key: string };
}

export interface Wanted {
  /** As openssl takes it, from the root down: `/C=DE/O=Meridian/CN=reports`. */
  readonly subject?: string;
  /** Of the subject alternative name: `URI:spiffe://…`, `DNS:localhost`. */
  readonly names?: readonly string[];
  /** More lines of an extension file. */
  readonly extensions?: readonly string[];
  readonly days?: number;
}

export async function makeAuthority(folder: string, name: string): Promise<MadeCertificate> {
  const files = filesIn(folder);
  await run('openssl', [
    ...['req', '-x509', '-days', '2', ...NEW_KEY, files.key, '-out', files.cert, '-subj', `/CN=${name}`],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  ]);
  return readMade(files);
}

/** Signed by the authority. */
export async function makeCertificate(
  folder: string,
  authority: MadeCertificate,
  { subject = '/CN=leaf', names = [], extensions = [], days = 2 }: Wanted,
): Promise<MadeCertificate> {
  const files = filesIn(folder);
  const [request, extra] = [`${files.cert}.csr`, `${files.cert}.ext`];
  const lines = [...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []), ...extensions];
  await writeFile(extra, `${lines.join('\n')}\n`);
  await run('openssl', ['req', '-new', '-utf8', ...NEW_KEY, files.key, '-out', request, '-subj', subject]);
  await run('openssl', [
    ...['x509', '-req', '-in', request, '-CA', authority.files.cert, '-CAkey', authority.files.key],
    ...['-days', String(days), '-extfile', extra, '-out', files.cert],
  ]);
  return readMade(files);
}

function filesIn(folder: string) {
  const name = join(folder, randomUUID());
  return { cert: `${name}.crt`, key: `${name}.key` };
}

async function readMade(files: MadeCertificate['files']): Promise<MadeCertificate> {
  return { cert: await readFile(files.cert, 'utf8'), key: await readFile(files.key, 'utf8'), files };
}
