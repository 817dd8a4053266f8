import type { Command } from 'commander';
import { withApiOptions, withClient } from './api-command.ts';
import type { ApiClient, ClientOptions } from './client.ts';
import { ensureContainers, missingContainers } from './ingest-containers.ts';
import type { Paths } from './ingest-paths.ts';
import { PendingDocuments } from './ingest-pending.ts';
import { IngestReport, type Outcome } from './ingest-report.ts';
import { type Interrupt, upload } from './ingest-upload.ts';
import { FailedQuietly, RefusedError } from './problem.ts';
import type { Terminal } from './terminal.ts';

interface IngestOptions extends ClientOptions {
  readonly container: string;
  readonly source: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `bulkhead ingest`: folders and files, each document by itself; one that fails stops no other. */
export function ingestCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('ingest')
    .description('send folders and files; folders become containers, .acl.yaml files say who may read')
    .argument('<path...>', 'folders, and files of Markdown, text, HTML, JSONL or CSV')
    .option('--container <path>', 'where to put them; made if it is missing', '/')
    .option(
      '--source <name>',
      'where they come from; a document is the same by source, container and path',
      'folder',
    )
    .option('--dry-run', 'read everything, send nothing, say what would be done')
    .option('--json', 'a line of JSON for each document as it is finished');
  withApiOptions(command, 'bulkhead ingest ./handbook --container /handbook --as stefan.wolf');
  command.action((paths: readonly string[], options: IngestOptions) => {
    if (!options.container.startsWith('/'))
      throw new RefusedError('invalid_request', 'A container is a path that begins with a slash.');
    return withClient(options, terminal, async (client, { policy }) => {
      // loaded here: the parsers would slow every other command down
      const { readPaths } = await import('./ingest-paths.ts');
      const levels = policy.levels.map(({ name }) => name);
      const read = await readPaths(paths, { ...options, levels });
      await (options.dryRun === true
        ? rehearse(client, read, terminal)
        : ingest(client, read, options, terminal));
    });
  });
}

async function ingest(
  client: ApiClient,
  read: Paths,
  { json }: IngestOptions,
  terminal: Terminal,
): Promise<void> {
  const report = new IngestReport(terminal, json === true);
  const pending = new PendingDocuments();
  const interrupt = onInterrupt(() =>
    terminal.say('Stopping: what was sent is finished. Again: stop at once.'),
  );
  try {
    const containers = await ensureContainers(client, read.containers);
    for (const path of containers.created) terminal.say(`created the container ${path}`);
    for (const path of containers.differing)
      terminal.say(
        `The container ${path} is there and does not say what its .acl.yaml says; it was left as it is.`,
      );
    for (const failure of containers.failed) report.take(failure);
    for (const failure of read.unreadable) report.take(failure);
    if (terminal.isWatched) report.expect(await count(read.documents(), interrupt));
    const take = (outcome: Outcome) => {
      report.take(outcome);
      pending.take(outcome);
    };
    await upload(client, read.documents(), take, interrupt);
    await pending.wait(client, interrupt);
  } finally {
    interrupt.end();
    report.end(interrupt.isRaised());
  }
  if (pending.size > 0)
    terminal.say(`${pending.size} of them are stored and will be found when the index has taken them.`);
  if (report.hasFailures || interrupt.isRaised()) throw new FailedQuietly();
}

/** Everything but the sending: what the server alone can tell, it will tell then. */
async function rehearse(client: ApiClient, read: Paths, terminal: Terminal): Promise<void> {
  const failures = [...read.unreadable];
  let documents = 0;
  for await (const document of read.documents())
    if ('error' in document) failures.push(document);
    else documents += 1;
  for (const { name, error } of failures) terminal.say(`failed  ${name}: ${error}`);
  for (const path of await missingContainers(client, read.containers))
    terminal.result(`would create the container ${path}`);
  terminal.result(`would send ${documents}, cannot read ${failures.length}`);
  if (failures.length > 0) throw new FailedQuietly();
}

async function count(documents: AsyncIterable<unknown>, { isRaised }: Interrupt): Promise<number> {
  let total = 0;
  for await (const _ of documents) {
    if (isRaised()) break;
    total += 1;
  }
  return total;
}

/** Ctrl-C once asks to stop; twice ends the process, as it would without us. */
function onInterrupt(tell: () => void): Interrupt & { end(): void } {
  let raised = false;
  const handle = () => {
    if (raised) process.exit(130);
    raised = true;
    tell();
  };
  process.on('SIGINT', handle);
  return { isRaised: () => raised, end: () => process.off('SIGINT', handle) };
}
