import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { account, runAs } from './postgres-server.ts';

/** The pooler of this machine: `PGBOUNCER`, or where Debian puts it. Without one, says once what is skipped. */
export function findPgbouncer(): string | undefined {
  const found = [process.env.PGBOUNCER, '/usr/sbin/pgbouncer'].find((path) => path && existsSync(path));
  if (found === undefined)
    process.stderr.write(
      'The tests through PgBouncer are skipped: there is none here; apt-get install pgbouncer, or set PGBOUNCER.\n',
    );
  return found;
}

export interface Pgbouncer {
  /** The same database, through the pooler. */
  readonly through: (url: string) => string;
  stop(): Promise<void>;
}

/** In transaction mode, with two connections to the server at `serverFolder`. */
export async function startPgbouncer(
  program: string,
  serverFolder: string,
  logins: readonly string[],
): Promise<Pgbouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-pgbouncer-'));
  const file = join(folder, 'pgbouncer.ini');
  const users = join(folder, 'users.txt');
  await writeFile(users, logins.map((login) => `"${login}" ""\n`).join(''));
  await writeFile(
    file,
    `[databases]\n* = host=${serverFolder}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = ${folder}\nauth_type = trust\nauth_file = ${users}\n` +
      'pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 100\nserver_login_retry = 1\n',
  );
  if (account.uid !== undefined) await chown(folder, account.uid, account.gid);
  const bouncer = spawn(program, ['-q', file], { ...account, stdio: 'ignore' });
  const through = (url: string) => {
    const address = new URL(url);
    address.searchParams.set('host', folder);
    address.searchParams.set('port', '6432');
    return address.href;
  };
  return {
    through,
    stop: async () => {
      const ended = new Promise((resolve) => bouncer.once('exit', resolve));
      bouncer.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

/** Resolves when the pooler answers. */
export async function untilAnswering(url: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await runAs(url, 'select 1');
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
