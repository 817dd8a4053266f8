import type { Command } from 'commander';
import type { Terminal } from './terminal.ts';

interface InitOptions {
  readonly tenant: string;
  readonly issuer: string;
  readonly admin: string;
  readonly adminName?: string;
}

/** `bulkhead init`: a tenant and its first administrator, once. */
export function initCommand(program: Command, terminal: Terminal): void {
  program
    .command('init')
    .description('create a tenant and its first administrator, once; the demo does without')
    .requiredOption('--tenant <name>', 'the tenant, as an issuer in bulkhead.yaml names it')
    .requiredOption('--issuer <name>', 'the name of that issuer in bulkhead.yaml')
    .requiredOption('--admin <account>', "the administrator's subject in that issuer's tokens")
    .option('--admin-name <name>', 'how to show the administrator; the account by default')
    .addHelpText(
      'after',
      "\nExample:\n  bulkhead init --tenant acme --issuer workforce --admin jane.doe --admin-name 'Jane Doe'",
    )
    .action(async ({ tenant, issuer, admin, adminName }: InitOptions) => {
      const { loadConfig } = await import('../config/config.ts');
      const { initTenant } = await import('../assembly/init.ts');
      const first = { tenant, issuer, account: admin, displayName: adminName ?? admin };
      const administrator = await initTenant(loadConfig(), first);
      terminal.result(
        `Created the tenant ${tenant}. ${administrator} holds every right at / and no clearance: reading is given apart.`,
      );
    });
}
