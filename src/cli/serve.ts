import { createServer } from 'node:net';
import type { Command } from 'commander';
import { describeRole, refusePlainListener, refuseUnfit } from '../assembly/roles.ts';
import type { Bulkhead } from '../assembly/server.ts';
import type { Config } from '../config/config.ts';
import { BulkheadError, isBulkheadError, toBulkheadError } from '../errors.ts';
import { dataFolderHolder } from '../store/data-folder-lock.ts';
import type { Terminal } from './terminal.ts';

interface ServeOptions {
  readonly role?: string;
}

const ROLES = `
Roles, each a process that may do nothing else (they need PostgreSQL; \`bulkhead migrate --logins\` makes their logins):
  retrieve  questions, reading documents, the pages
  ingest    taking documents in
  indexer   keeps the index; answers nobody
  admin     labels, entries, clearances, the directory
  audit     reading and verifying the audit log
  all       everything in one process (the default)

Example:
  PORT=8081 BULKHEAD_DATA=/var/lib/bulkhead bulkhead serve
  BULKHEAD_CONFIG=bulkhead.yaml DATABASE_URL=postgres://bulkhead_retrieve_login@db/bulkhead bulkhead serve --role retrieve`;

/** `bulkhead serve`: one role, or everything, until it is told to stop. */
export function serveCommand(program: Command, terminal: Terminal): void {
  program
    .command('serve')
    .description('run the API and the pages; without a configuration, a demo company on an embedded store')
    .option('--role <role>', 'what this process is (else BULKHEAD_ROLE, else all)')
    .addHelpText('after', ROLES)
    .action(async ({ role }: ServeOptions) => {
      const { loadConfig } = await import('../config/config.ts');
      const { openBulkhead } = await import('../assembly/server.ts');
      const config = loadConfig(undefined, role === undefined ? {} : { BULKHEAD_ROLE: role });
      refuseUnfit(config);
      refusePlainListener(config);
      // of a server that has both the port and the folder, the folder says more
      if (dataFolderHolder(config.dataFolder) === undefined) await tryPort(config);
      const progress = terminal.progress('Loading the demo company');
      const onDemoProgress = (done: number, total: number) => progress.update(done, total);
      const bulkhead = await openBulkhead(config, { onDemoProgress }).finally(() => progress.end());
      try {
        await serve(bulkhead, terminal);
      } finally {
        await bulkhead.close();
      }
    });
}

async function serve(bulkhead: Bulkhead, terminal: Terminal): Promise<void> {
  const url = await bulkhead
    .listen()
    .catch((error: NodeJS.ErrnoException) => Promise.reject(explained(error, bulkhead.config)));
  terminal.result(`Bulkhead is ready at ${url.href}`);
  if (!bulkhead.config.demo) terminal.result(describeRole(bulkhead.config));
  if (bulkhead.identity?.development !== undefined)
    terminal.result(
      'Sign in there as two different people and ask both the same question; README.md has a tour.',
    );
  const stopLooking = lookForCertificate(bulkhead, terminal);
  await stopSignal();
  stopLooking();
  terminal.say('Stopping.');
}

const CERTIFICATE_MS = 60_000;

/**
 * Another certificate in the same file, or other authorities of services, on SIGHUP or within a minute: nobody who may
 * stay is cut off for it.
 */
function lookForCertificate(bulkhead: Bulkhead, terminal: Terminal): () => void {
  let { certificate: present, certificates: sources } = bulkhead.config;
  if (present === undefined) return () => {};
  const look = async () => {
    try {
      const { loadConfig } = await import('../config/config.ts');
      const { certificate, certificates } = loadConfig();
      const areSame = JSON.stringify(certificates) === JSON.stringify(sources);
      if (certificate === undefined || (certificate.cert === present?.cert && areSame)) return;
      bulkhead.renewCertificate(certificate, certificates);
      [present, sources] = [certificate, certificates];
      terminal.say('The certificates were renewed.');
    } catch (error) {
      // a file that is half written is whole the next time
      terminal.say(`The certificate stays as it is: ${toBulkheadError(error).detail}`);
    }
  };
  process.on('SIGHUP', look);
  const timer = setInterval(look, CERTIFICATE_MS);
  return () => {
    process.off('SIGHUP', look);
    clearInterval(timer);
  };
}

/** Before anything is loaded: nobody waits for the demo only to hear that the port is taken. */
async function tryPort(config: Config): Promise<void> {
  const attempt = createServer();
  await new Promise<void>((resolve, reject) => {
    attempt.once('error', (error) => reject(explained(error, config)));
    attempt.listen(config.port, config.host, resolve);
  });
  await new Promise((resolve) => attempt.close(resolve));
}

function explained(error: NodeJS.ErrnoException, { port, host }: Config): Error {
  if (error.code === 'EADDRINUSE')
    return new BulkheadError('config_invalid', `Port ${port} is in use already. Set PORT to another one.`);
  if (error.code === undefined || isBulkheadError(error)) return error;
  const detail = `The server cannot listen at ${host}, port ${port}: ${error.code}. See PORT and BULKHEAD_HOST.`;
  return new BulkheadError('config_invalid', detail);
}

/** A second signal ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
  });
}
