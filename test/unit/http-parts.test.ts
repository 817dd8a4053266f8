import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { readAuthorization, toIdentity } from '../../src/http/authenticate.ts';
import { type Line, readLines } from '../../src/http/ndjson.ts';
import { problemHeaders, toProblem } from '../../src/http/problem.ts';
import { type Refusal, RefusalLog } from '../../src/http/refusals.ts';
import type { VerifiedCaller } from '../../src/identity/verify-token.ts';
import { summarizeError } from '../../src/telemetry/log.ts';
import { removedFrom } from '../../src/ui/words.ts';

const CALLER: VerifiedCaller = {
  issuer: 'workforce',
  tenant: 'meridian',
  kind: 'user',
  id: 'anna',
  groups: ['hr'],
  actor: { issuer: 'workforce', id: 'agent' },
  acr: 'mfa',
  authTime: 5,
  expiresAt: 10,
  tokenId: 't',
};

describe('a verified caller', () => {
  it('becomes principals of its own issuer, user and actor apart', () => {
    expect(toIdentity(CALLER)).toEqual({
      tenant: 'meridian',
      user: 'user:workforce|anna',
      tokenGroups: ['group:workforce|hr'],
      actor: 'service:workforce|agent',
      acr: 'mfa',
      authTime: 5,
    });
  });

  it('that is a service is named as one, and unknown groups stay unknown', () => {
    const { user, tokenGroups, actor } = toIdentity({
      ...CALLER,
      kind: 'service',
      groups: 'unknown',
      actor: undefined,
    });
    expect([user, tokenGroups, actor]).toEqual(['service:workforce|anna', 'unknown', undefined]);
  });
});

describe('the Authorization header', () => {
  it('is read whatever the case of its scheme', () => {
    expect(readAuthorization('bearer a.b.c')).toEqual({ scheme: 'Bearer', token: 'a.b.c' });
    expect(readAuthorization('BEARER  a.b.c ')).toEqual({ scheme: 'Bearer', token: 'a.b.c' });
    expect(readAuthorization('dpop a.b.c')).toEqual({ scheme: 'DPoP', token: 'a.b.c' });
  });

  it('that was not sent leaves the question to the connection', () => {
    expect(readAuthorization(undefined)).toEqual({ scheme: 'Bearer' });
  });

  it.each(['', 'a.b.c', 'Basic a.b.c', 'Bearer', 'Bearer ', 'Bearer a b', 'XBearer a'])(
    'of %j is refused, and not as if it had not been sent',
    (header) => {
      expect(() => readAuthorization(header)).toThrow(expect.objectContaining({ code: 'missing_token' }));
    },
  );
});

describe('a problem', () => {
  it('says the same of everything that is not found', () => {
    const issues = [{ path: 'id', message: 'secret' }];
    expect(toProblem(new BulkheadError('not_found', 'No such entry of /hr.', { issues }), 'r')).toEqual(
      toProblem(new BulkheadError('not_found', 'There is no such document.'), 'r'),
    );
  });

  it('asks for a stronger sign-in as RFC 9470 does', () => {
    const error = new BulkheadError('step_up_required', 'Sign in again.', {
      challenge: { acr_values: 'mfa', max_age: '300' },
    });
    expect(problemHeaders(error)['www-authenticate']).toBe(
      'Bearer realm="bulkhead", error="insufficient_user_authentication", error_description="Sign in again.", acr_values="mfa", max_age="300"',
    );
  });

  it('cannot break out of its challenge', () => {
    const error = new BulkheadError('invalid_token', 'a "quote", a \\ and a\r\nset-cookie: x=1 ’');
    expect(problemHeaders(error)['www-authenticate']).toBe(
      'Bearer realm="bulkhead", error="invalid_token", error_description="a quote, a  and aset-cookie: x=1 \'"',
    );
  });
});

describe('the refusal log', () => {
  const refusal: Omit<Refusal, 'count'> = {
    tenant: undefined,
    subject: null,
    actor: null,
    request: 'r',
    code: 'invalid_token',
    status: 401,
    route: '/v1/retrieve',
  };
  const setUp = (record = async (_: Refusal) => {}) => {
    const recorded: Refusal[] = [];
    const failures: unknown[] = [];
    const clock = { now: 0 };
    const log = new RefusalLog({
      now: () => clock.now,
      perMinute: 3,
      record: async (entry) => {
        await record(entry);
        recorded.push(entry);
      },
      onFailure: (error) => failures.push(error),
    });
    return { log, recorded, failures, clock };
  };

  it('records a few of a minute one by one and the flood as one count', async () => {
    const { log, recorded, clock } = setUp();
    for (let i = 0; i < 10_000; i += 1) await log.note(refusal);
    expect(recorded).toHaveLength(3);
    clock.now = 60_000;
    await log.note(refusal);
    expect(recorded.map(({ count }) => count)).toEqual([1, 1, 1, 9_997, 1]);
  });

  it('counts each code apart, so that one flood hides no other refusal', async () => {
    const { log, recorded } = setUp();
    for (let i = 0; i < 10; i += 1) await log.note(refusal);
    await log.note({ ...refusal, code: 'right_missing', status: 403 });
    expect(recorded.at(-1)).toMatchObject({ code: 'right_missing', count: 1 });
  });

  it('writes what it only counted when it is closed', async () => {
    const { log, recorded } = setUp();
    for (let i = 0; i < 5; i += 1) await log.note(refusal);
    await log.close();
    expect(recorded.map(({ count }) => count)).toEqual([1, 1, 1, 2]);
  });

  it('reports a record that could not be written, and does not throw', async () => {
    const { log, failures } = setUp(() => Promise.reject(new Error('disk')));
    await log.note(refusal);
    expect(failures).toHaveLength(1);
  });
});

describe('the lines of a stream', () => {
  const read = async (pieces: readonly string[], bounds = { maxLines: 100, maxLineBytes: 10 }) => {
    const stream = (async function* () {
      for (const piece of pieces) yield Buffer.from(piece);
    })();
    const lines: Line[] = [];
    for await (const line of readLines(stream, bounds)) lines.push(line);
    return lines.map((line) =>
      line.kind === 'line' ? `${line.number}:${Buffer.from(line.bytes)}` : `${line.number}:${line.kind}`,
    );
  };

  it('are the same however the stream is cut', async () => {
    const text = 'one\ntwo\r\n\n  \nthree';
    const expected = ['1:one', '2:two\r', '5:three'];
    for (let cut = 0; cut <= text.length; cut += 1)
      expect(await read([text.slice(0, cut), text.slice(cut)])).toEqual(expected);
    expect(await read([...text])).toEqual(expected);
  });

  it('are refused one by one when too long, and the next is read', async () => {
    expect(await read(['x'.repeat(11), '\nok\n', 'y'.repeat(10), '\n'])).toEqual([
      '1:too-long',
      '2:ok',
      `3:${'y'.repeat(10)}`,
    ]);
  });

  it('end with the line that is one too many', async () => {
    expect(await read(['a\nb\nc\nd\n'], { maxLines: 2, maxLineBytes: 10 })).toEqual([
      '1:a',
      '2:b',
      '3:too-many',
    ]);
  });

  it('of a stream without a newline are never held beyond the bound', async () => {
    let biggest = 0;
    const stream = (async function* () {
      for (let i = 0; i < 3_000; i += 1) {
        yield Buffer.alloc(100_000, 'x');
        biggest = Math.max(biggest, process.memoryUsage().arrayBuffers);
      }
    })();
    const before = process.memoryUsage().arrayBuffers;
    const lines: Line[] = [];
    for await (const line of readLines(stream, { maxLines: 10, maxLineBytes: 1_000_000 })) lines.push(line);
    expect(lines).toEqual([{ kind: 'too-long', number: 1 }]);
    // of 300 MB; what is let go stays until the collector comes by
    expect(biggest - before).toBeLessThan(150_000_000);
  });
});

describe('an error in the log', () => {
  it('keeps names, codes and places, and no message of it or its causes', () => {
    const cause = Object.assign(new SyntaxError('Unexpected token in "a secret text"'), { code: 'E_PARSE' });
    const summary = summarizeError(new Error('about user:workforce|anna', { cause }));
    expect(summary).toMatchObject({ name: 'Error', cause: { name: 'SyntaxError', code: 'E_PARSE' } });
    expect(summary.frames?.length).toBeGreaterThan(0);
    expect(JSON.stringify(summary)).not.toMatch(/secret|anna/);
  });
});

describe('what was removed', () => {
  it('is said in words, with counts', () => {
    const span = (kind: 'email' | 'iban') => ({ kind, start: 0, end: 1 });
    expect(
      removedFrom({ redacted: ['email', 'iban'], redactions: [span('email'), span('email'), span('iban')] }),
    ).toBe('2 e-mail addresses and 1 IBAN removed');
    expect(removedFrom({ redacted: ['email'], redactions: [] })).toBe('e-mail addresses removed');
    expect(removedFrom({ redacted: [], redactions: [] })).toBeUndefined();
  });
});
