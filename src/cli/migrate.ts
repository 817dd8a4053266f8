import type { Command } from 'commander';
import type { Terminal } from './terminal.ts';

/** `bulkhead migrate`: the database schema, before a new version starts. */
export function migrateCommand(program: Command, terminal: Terminal): void {
  program
    .command('migrate')
    .description('bring the database schema up to date; an embedded database does it whenever it is opened')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://owner@db/bulkhead bulkhead migrate')
    .action(async () => {
      const { loadConfig } = await import('../config/config.ts');
      const config = loadConfig();
      if (config.database === undefined) {
        const { openStore } = await import('../assembly/open-store.ts');
        await (await openStore(config)).close();
        terminal.result(`The embedded database in ${config.dataFolder} is up to date.`);
        return;
      }
      const { migratePostgres } = await import('../store/open-postgres.ts');
      const done = await migratePostgres({ ...config.database, poolSize: 1 });
      for (const name of done) terminal.result(name);
      terminal.result(done.length === 0 ? 'The schema was up to date.' : 'The schema is up to date.');
    });
}
