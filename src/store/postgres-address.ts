/** Where a PostgreSQL server is and how its connection is protected: from a URL, and from nothing else. */
import type pg from 'pg';
import { BulkheadError } from '../errors.ts';

export interface PostgresAddress {
  readonly url: string;
  /** Beats the one in the URL. */
  readonly password?: string | undefined;
  /** PEM of the authorities that the server's certificate is verified against; absent = those of the system. */
  readonly ca?: string | undefined;
}

/** What may follow the `?`; a setting that would be ignored is refused instead. */
const PARAMETERS = new Set(['host', 'port', 'sslmode', 'application_name']);
const ENCRYPTED = new Set(['require', 'verify-ca', 'verify-full']);
const THIS_MACHINE = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/**
 * The address as `pg` takes it. TLS always verifies chain and host name, whatever `sslmode` asks for less.
 * @throws BulkheadError `config_invalid`; `store_unsafe` for a server elsewhere without TLS, which only
 *   `sslmode=disable` allows, and that not in production
 */
export function postgresAddress(
  { url, password, ca }: PostgresAddress,
  production: boolean,
): pg.ClientConfig & { readonly host: string } {
  const parsed = parseUrl(url);
  const query = parsed.searchParams;
  for (const name of query.keys())
    if (!PARAMETERS.has(name))
      throw new BulkheadError(
        'config_invalid',
        `DATABASE_URL has a parameter "${name}", which is not known.`,
      );
  const host =
    query.get('host') ?? (decodeURIComponent(parsed.hostname).replace(/^\[|\]$/g, '') || 'localhost');
  const port = Number(query.get('port') ?? (parsed.port || 5432));
  const user = decodeURIComponent(parsed.username);
  if (user === '') throw new BulkheadError('config_invalid', 'DATABASE_URL names no user.');
  const secret = password ?? (parsed.password === '' ? undefined : decodeURIComponent(parsed.password));
  return {
    host,
    port,
    user,
    database: decodeURIComponent(parsed.pathname.slice(1)) || user,
    // a function, so that `pg` looks nowhere else for one
    password: () => secret ?? '',
    ssl: protection(host, query.get('sslmode') ?? undefined, ca, production),
  };
}

/** For messages: no password. */
export function describeAddress({ host, port, database, user }: pg.ClientConfig): string {
  return `${user}@${host}:${port}/${database}`;
}

function parseUrl(url: string): URL {
  try {
    // a socket's address has no host before its path, which `URL` does not take
    const parsed = new URL(url.replace('@/', '@localhost/'));
    if (parsed.protocol === 'postgres:' || parsed.protocol === 'postgresql:') return parsed;
  } catch {
    // said below, without the password that the error would quote
  }
  throw new BulkheadError('config_invalid', 'DATABASE_URL is not of the form postgres://user@host/database.');
}

function protection(
  host: string,
  sslmode: string | undefined,
  ca: string | undefined,
  production: boolean,
): pg.ClientConfig['ssl'] {
  if (sslmode !== undefined && sslmode !== 'disable' && !ENCRYPTED.has(sslmode))
    throw new BulkheadError(
      'config_invalid',
      `DATABASE_URL asks for sslmode=${sslmode}; it is verify-full, or disable.`,
    );
  if (ca !== undefined && sslmode === 'disable')
    throw new BulkheadError(
      'config_invalid',
      'DATABASE_CA_FILE is given and DATABASE_URL says sslmode=disable: it is one or the other.',
    );
  if (ca !== undefined || sslmode === 'require' || sslmode?.startsWith('verify'))
    return { rejectUnauthorized: true, ...(ca !== undefined && { ca }) };
  if (host.startsWith('/') || THIS_MACHINE.test(host)) return false;
  if (sslmode === 'disable' && !production) return false;
  throw new BulkheadError(
    'store_unsafe',
    `The database on ${host} would be reached without TLS. Set DATABASE_CA_FILE, or sslmode=verify-full in DATABASE_URL.`,
  );
}
