/** A key that was withdrawn, and processes of several roles on one PostgreSQL server, each with a login of its own. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newKey } from '../helpers/identity-issuer.ts';
import { findPostgres, type PostgresServer, startPostgres } from '../helpers/postgres-server.ts';
import { ADMINISTRATOR, openRoleProcesses, type RoleProcesses } from '../helpers/role-processes.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const programs = await findPostgres();

describe.skipIf(programs === undefined)('A process that listens', () => {
  let server: PostgresServer;
  let roles: RoleProcesses;
  beforeAll(async () => {
    server = await startPostgres(programs);
    roles = await openRoleProcesses(await server.createDatabase());
    await roles.init();
  });
  afterAll(async () => {
    await roles.close();
    await server.stop();
  });

  it('refuses a withdrawn key five seconds after the process of another role was told of it', async () => {
    const admin = await roles.open('admin');
    const audit = await roles.open('audit');
    await Promise.all([admin.listen(), audit.listen()]);
    const read = async () => (await roles.ask(audit, ADMINISTRATOR, 'GET', '/v1/audit/records')).status;
    expect(await read()).toBe(200);
    expect((await roles.ask(admin, ADMINISTRATOR, 'GET', '/v1/principals')).status).toBe(200);
    roles.issuer.published = [await newKey('k2')];
    expect(await read()).toBe(200);
    const path = '/v1/issuers/workforce/keys:reload';
    expect((await roles.ask(admin, ADMINISTRATOR, 'POST', path)).status).toBe(204);
    await vi.waitFor(async () => expect(await read()).toBe(401), { timeout: 5_000, interval: 100 });
  });
});
