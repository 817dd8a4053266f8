import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { instant } from '../../src/policy/ids.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { credentialsOf, KINDS, revokeAsSuperuser } from '../helpers/revocations.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

interface Change {
  readonly allowed: boolean;
  /** Milliseconds; taken inside the transaction, after the epoch's lock. */
  readonly at: number;
}

describe('At once', () => {
  let spine: Spine;
  beforeAll(async () => {
    spine = await openSpine();
    await spine.add(spine.classes.open, 'The harbour gate is painted every spring.');
    await spine.add(spine.classes.closed, 'The launch code of the harbour gate is 4711.');
  });
  afterAll(() => spine.close());

  /** Grants or revokes, and says when: the epoch is raised first, so the instant lies between lock and commit. */
  const change = async (allowed: boolean): Promise<Change> => {
    const where = `class_id = ${spine.classes.closed} and principal_id = 1`;
    const statement = allowed
      ? `insert into entry (tenant_id, class_id, principal_id, effect) values (1, ${spine.classes.closed}, 1, 'allow') on conflict do nothing`
      : `delete from entry where ${where}`;
    const rows = await asSuperuser<{ at: number }>(
      spine.database,
      `${statement}; select ms(clock_timestamp()) as at`,
    );
    return { allowed, at: rows[0]?.at ?? Number.NaN };
  };

  it('no receipt later than a revocation names a passage it took away', { timeout: 120_000 }, async () => {
    const changes: Change[] = [await change(false)];
    let running = true;
    const churn = (async () => {
      while (running) {
        changes.push(await change(changes.at(-1)?.allowed === false));
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
      }
    })();
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => askRepeatedly(spine, 15)));
    running = false;
    await churn;

    const seen = outcomes.flat();
    const receipts = await readReceipts(spine);
    const withSecret = receipts.filter((receipt) => receipt.classes.includes(spine.classes.closed));
    for (const receipt of withSecret) {
      const inForce = changes.filter((c) => c.at <= receipt.at).at(-1);
      expect(inForce?.allowed, `receipt at ${receipt.at}`).toBe(true);
    }
    // the race was run: both answers occurred
    expect(withSecret.length).toBeGreaterThan(0);
    expect(seen.filter((answer) => answer === 'without').length).toBeGreaterThan(0);
    expect(seen.filter((answer) => answer === 'with').length).toBe(withSecret.length);
  });

  it.each(KINDS)(
    'no receipt later than the revocation of a %s is for whoever came with it',
    { timeout: 120_000 },
    async (kind) => {
      // several rounds, since the instant within an answer at which it happens is drawn anew in each
      for (let round = 0; round < 5; round += 1) {
        const revocable = credentialsOf('w', 'bob').map((one) => {
          // a session or a key is revoked for good; a user and a client come again with what was issued since
          const issuedAt = instant(Date.now());
          return one.kind === 'session' || one.kind === 'key'
            ? { ...one, id: `${one.id}-${round}`, issuedAt }
            : { ...one, issuedAt };
        });
        const revoked = revocable.find((one) => one.kind === kind);
        if (revoked === undefined) throw new Error('nothing to revoke');
        const asking = Array.from({ length: 4 }, () =>
          askUntilRefused(spine, { ...spine.bob, revocable }, `${kind}-${round}`),
        );
        await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 400));
        const at = await revokeAsSuperuser(spine.database, 1, revoked);
        const answered = (await Promise.all(asking)).reduce((sum, n) => sum + n, 0);
        const mine = (await readReceipts(spine)).filter(({ request }) => request === `${kind}-${round}`);
        for (const receipt of mine) expect(receipt.at).toBeLessThanOrEqual(at);
        expect(mine).toHaveLength(answered);
        // what is issued in the same millisecond is refused with the rest
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  );
});

/** @returns how many answers there were before the refusal */
async function askUntilRefused(spine: Spine, caller: CallerIdentity, requestId: string): Promise<number> {
  for (let answers = 0; ; answers += 1) {
    try {
      await retrieve(spine.parts, caller, {
        requestId,
        query: 'launch code of the harbour gate',
        limit: 5,
        filters: {},
      });
    } catch (error) {
      if (!(error instanceof BulkheadError) || error.code !== 'credential_revoked') throw error;
      return answers;
    }
  }
}

/** What each answer held; `moved` is the honest 503 when permissions would not stand still. */
async function askRepeatedly(
  spine: Spine,
  times: number,
): Promise<readonly ('with' | 'without' | 'moved')[]> {
  const answers: ('with' | 'without' | 'moved')[] = [];
  for (let i = 0; i < times; i += 1) {
    try {
      const { content } = await retrieve(spine.parts, spine.ann, {
        requestId: `r${i}`,
        query: 'launch code of the harbour gate',
        limit: 5,
        filters: {},
      });
      answers.push(content.passages.some((passage) => passage.text.includes('4711')) ? 'with' : 'without');
    } catch (error) {
      if (!(error instanceof BulkheadError) || error.code !== 'authority_moved') throw error;
      answers.push('moved');
    }
  }
  return answers;
}

interface Receipt {
  readonly at: number;
  readonly request: string;
  readonly classes: readonly number[];
}

async function readReceipts(spine: Spine): Promise<readonly Receipt[]> {
  const rows = await asSuperuser<{ at: number; body: string }>(
    spine.database,
    `select ms(at) as at, body from audit_record where kind = 'release'`,
  );
  return rows.map((row) => {
    const { passages, request } = JSON.parse(row.body) as {
      passages: readonly { class: number }[];
      request: string;
    };
    return { at: row.at, request, classes: passages.map((passage) => passage.class) };
  });
}
