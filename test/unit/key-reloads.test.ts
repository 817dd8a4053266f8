/** A key that was withdrawn ends in every process, whichever of them was told. */
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { issuerService } from '../../src/assembly/issuer-service.ts';
import { KeyReloads, keepReloading } from '../../src/assembly/key-reloads.ts';
import type { Caller } from '../../src/http/services.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { readKeyReloads } from '../../src/store/key-reloads.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { openTestAudit, type TestAudit } from '../helpers/audit.ts';
import { IssuerServer, newKey, type SigningKey } from '../helpers/identity-issuer.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const BOUND_MS = 5_000;

/** What one process has of its own; the database is everybody's. */
interface Process {
  readonly verifier: TokenVerifier;
  readonly keyReloads: KeyReloads;
  readonly reload: (tenant: string, issuer?: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

let test: TestAudit;
let server: IssuerServer;
let key: SigningKey;
let processes: Process[];
let logged: string[];

beforeAll(async () => {
  test = await openTestAudit();
  for (const name of ['rival', 'third']) {
    const admin = { principal: 'user:workforce|root', source: 'workforce', displayName: 'Root' };
    await createTenant(test.database, { name, admin, rootLevel: 'public' });
  }
});
afterAll(() => test.close());
beforeEach(async () => {
  server = await IssuerServer.start();
  key = await newKey('key-1');
  server.published = [key];
  logged = [];
  processes = [];
});
afterEach(async () => {
  await Promise.all(processes.map(({ stop }) => stop()));
  await server.close();
});

const read = () => readKeyReloads(test.database, 'retrieve');

/** Of an issuer that two of the three tenants share. */
async function start(): Promise<Process> {
  const profile: IssuerProfile = server.profile({
    tenant: { claim: 'org', map: { m: 'meridian', r: 'rival' } },
  });
  const verifier = createTokenVerifier([profile], { now: Date.now });
  const keyReloads = new KeyReloads(verifier);
  const parts = { database: test.database, scheme: TEST_SCHEME, audit: test.log };
  const service = issuerService(parts, { profiles: [profile], keyReloads });
  const log = createLog({ level: 'info', destination: { write: (line) => void logged.push(line) } });
  const process = {
    verifier,
    keyReloads,
    reload: (tenant: string, issuer = 'workforce') => service.reloadIssuerKeys(callerOf(tenant), issuer),
    stop: await keepReloading(keyReloads, read, log),
  };
  processes.push(process);
  return process;
}

const callerOf = (tenant: string, user = 'user:workforce|root') =>
  ({
    identity: { tenant, user, tokenGroups: [], actor: undefined, acr: undefined, authTime: undefined },
    requestId: 'r1',
  }) as Caller;

const token = () => {
  const now = Math.floor(Date.now() / 1000);
  return server.sign(key, { sub: 'anna', org: 'm', iat: now, exp: now + 600, auth_time: now });
};
const believes = ({ verifier }: Process, one: string) =>
  verifier.verify(one).then(
    () => true,
    () => false,
  );
async function until(holds: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > BOUND_MS) throw new Error('not within the bound');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - startedAt;
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a withdrawn key', () => {
  it('is refused by every process five seconds after one of them was told, for tokens known before too', async () => {
    const [told, other] = [await start(), await start()];
    const one = await token();
    expect([await believes(told, one), await believes(other, one)]).toEqual([true, true]);
    server.published = [await newKey('key-2')];
    expect(await believes(other, one)).toBe(true);
    await told.reload('meridian');
    expect(await believes(told, one)).toBe(false);
    expect(await until(async () => !(await believes(other, one)))).toBeLessThan(BOUND_MS);
  }, 20_000);

  it('is fetched once by each process, and again by none of them', async () => {
    const all = [await start(), await start(), await start()];
    const before = server.requests.length;
    await all[0]?.reload('meridian');
    await pause(4_500);
    expect(server.requests.length - before).toBe(3);
  }, 20_000);

  it('that a process began without is not asked for by it again', async () => {
    const told = await start();
    await told.reload('meridian');
    const before = server.requests.length;
    const late = await start();
    await late.keyReloads.follow(read, () => {});
    await pause(100);
    expect(server.requests.length).toBe(before);
  });

  it('of one issuer is let go whatever is asked of another while the requests are read', async () => {
    const reloaded: string[] = [];
    const reloads = new KeyReloads({
      reloadKeys: async (issuer) => {
        reloaded.push(issuer);
      },
    });
    const readDuringFlood = async () => {
      await reloads.reload('flooded', 1);
      return new Map([
        ['flooded', 0],
        ['quiet', 1],
      ]);
    };
    await reloads.follow(readDuringFlood, () => {});
    expect(reloaded).toEqual(['flooded', 'quiet']);
  });

  it('is refused after a restore that took the count back', async () => {
    const [told, other] = [await start(), await start()];
    await told.reload('meridian');
    await other.keyReloads.follow(read, () => {});
    await asSuperuser(test.database, 'delete from key_reload');
    await other.keyReloads.follow(read, () => {});
    const one = await token();
    expect(await believes(other, one)).toBe(true);
    server.published = [await newKey('key-2')];
    await told.reload('meridian');
    await other.keyReloads.follow(read, () => {});
    expect(await until(async () => !(await believes(other, one)))).toBeLessThan(BOUND_MS);
  }, 20_000);

  it('is refused as soon though administrators of another tenant ask for reloads all the time', async () => {
    const [told, other] = [await start(), await start()];
    const asked: Promise<void>[] = [];
    const again = setInterval(() => asked.push(told.reload('rival')), 100);
    try {
      await until(async () => asked.length > 3);
      const one = await token();
      await until(async () => (await believes(told, one)) && (await believes(other, one)));
      server.published = [await newKey('key-2')];
      await Promise.race([told.reload('meridian'), pause(1_500)]);
      expect(await believes(told, one)).toBe(false);
      expect(await until(async () => !(await believes(other, one)))).toBeLessThan(BOUND_MS - 1_000);
    } finally {
      clearInterval(again);
      await Promise.allSettled(asked);
    }
  }, 30_000);

  it('is not believed by one that could not fetch the others', async () => {
    const [told, other] = [await start(), await start()];
    const one = await token();
    expect(await believes(other, one)).toBe(true);
    server.failing = true;
    await expect(told.reload('meridian')).rejects.toMatchObject({ code: 'identity_unavailable' });
    await until(async () => !(await believes(other, one)));
    expect(logged.some((line) => line.includes('keys not reloaded'))).toBe(true);
  }, 20_000);
});

describe('a caller who asks over and over', () => {
  it('costs the issuer one fetch a second of each process', async () => {
    const [told] = [await start(), await start()];
    const before = server.requests.length;
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 100 }, () => told?.reload('meridian')));
    await pause(2_500);
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(server.requests.length - before).toBeLessThanOrEqual(2 * Math.ceil(seconds));
  }, 20_000);
});

describe('a reload of the keys of a shared issuer', () => {
  const records = () =>
    asSuperuser<{ tenant: string; subject: string }>(
      test.database,
      `select t.name as tenant, r.body::jsonb->>'subject' as subject from audit_record r join tenant t on t.id = r.tenant_id
       where r.kind = 'issuer.keys_reloaded' and r.body::jsonb->>'request' = 'r1' and t.name <> 'meridian'`,
    );

  it('may be asked for by the administrators of each of its tenants, in whose own log it is', async () => {
    const before = await records();
    await (await start()).reload('rival');
    const one = { tenant: 'rival', subject: 'user:workforce|root' };
    expect(await records()).toEqual([...before.map(() => one), one]);
  });

  it('is asked for by nobody else, and nothing is stored or fetched then', async () => {
    const process = await start();
    const before = [await read(), server.requests.length, (await records()).length];
    await expect(process.reload('third')).rejects.toMatchObject({ code: 'not_found' });
    await expect(process.reload('rival', 'nobody')).rejects.toMatchObject({ code: 'not_found' });
    expect([await read(), server.requests.length, (await records()).length]).toEqual(before);
  });

  it('is not stored for who does not administer, whatever the process says of them', async () => {
    const context = { ...test.admin.context, principals: new Set<never>() };
    for (const role of ['admin', 'retrieve'] as const)
      await expect(
        test.database.unitOfWork(role, role === 'admin' ? context : test.admin.context, (trx) =>
          sql`select bulkhead.request_key_reload('workforce')`.execute(trx),
        ),
      ).rejects.toMatchObject({ sqlState: '42501' });
  });
});
