import { exportJWK, generateKeyPair, type JWTPayload, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CAEP, seconds, TestTransmitter } from '../helpers/security-events.ts';

let them: TestTransmitter;

beforeAll(async () => {
  them = await TestTransmitter.open();
});
afterAll(() => them.close());

describe('An event that is not taken', () => {
  const refused = async (set: string | Promise<string>, err: string, headers = {}) => {
    const before = await them.revocations();
    const answer = await them.push(await set, headers);
    expect(answer).toMatchObject({ status: 400, json: { err, description: expect.any(String) } });
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await them.revocations()).toEqual(before);
  };
  const revoke = (changes: JWTPayload = {}) =>
    them.claims(`${CAEP}session-revoked`, them.user('anna'), changes);

  it('is unsigned', () => refused(new UnsecuredJWT(revoke()).encode(), 'invalid_request'));
  it('says that it is unsigned', () =>
    refused(
      `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${Buffer.from(
        JSON.stringify(revoke()),
      ).toString('base64url')}.AA`,
      'authentication_failed',
    ));
  it('is signed with a public key as if it were a secret', async () => {
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(them.publicKey)));
    await refused(them.sign(revoke(), { alg: 'HS256' }, secret), 'authentication_failed');
  });
  it('is signed by somebody else under the same key id', async () => {
    const { privateKey } = await generateKeyPair('ES256');
    await refused(them.sign(revoke(), {}, privateKey), 'authentication_failed');
  });
  it('is signed with a key that is not published', () =>
    refused(them.sign(revoke(), { kid: 'another' }), 'invalid_key'));
  it('is of a stranger', () =>
    refused(them.sign(revoke({ iss: 'https://stranger.example' })), 'invalid_issuer'));
  it('is for another receiver', () =>
    refused(them.sign(revoke({ aud: 'https://other.example' })), 'invalid_audience'));
  it('is an access token', async () => refused(await them.app.token('anna'), 'invalid_request'));
  it('is a logout token, or a token without a type', async () => {
    await refused(them.sign(revoke(), { typ: 'logout+jwt' }), 'invalid_request');
    await refused(them.sign(revoke(), { typ: undefined }), 'invalid_request');
  });
  it('asks for an extension that nobody checks', () =>
    refused(them.sign(revoke(), { crit: ['b64'], b64: true }), 'invalid_request'));
  it('is of the future', () => refused(them.sign(revoke({ iat: seconds() + 120 })), 'invalid_request'));
  it('tells of the future', async () => {
    const events = { [`${CAEP}session-revoked`]: { event_timestamp: seconds() + 3_600 } };
    await refused(them.sign(revoke({ events })), 'invalid_request');
  });
  it('is older than is accepted', () =>
    refused(them.sign(revoke({ iat: seconds() - 90_000 })), 'invalid_request'));
  it('has no id', async () => {
    await refused(
      them.sign(Object.fromEntries(Object.entries(revoke()).filter(([name]) => name !== 'jti'))),
      'invalid_request',
    );
    await refused(them.sign(revoke({ jti: '' })), 'invalid_request');
  });
  it('names its subject as an access token does', () =>
    refused(them.sign(revoke({ sub: 'anna' })), 'invalid_request'));
  it('is about a subject of another issuer', () =>
    refused(
      them.sign(
        them.claims(
          `${CAEP}session-revoked`,
          them.user('carla', them.workforce.replace('workforce', 'partners')),
        ),
      ),
      'invalid_request',
    ));
  it.each([
    ['an address', { format: 'email', email: 'anna@meridian.example' }],
    ['a telephone number', { format: 'phone_number', phone_number: '+4930123456' }],
    ['one of several names', { format: 'aliases', identifiers: [{ format: 'email', email: 'a@b.example' }] }],
    ['nobody', { format: 'complex', device: { format: 'opaque', id: 'd' } }],
    ['a list', []],
    ['an id that divides principals', { format: 'opaque', id: 'a|b' }],
  ])('is about %s', (_, sub_id) =>
    refused(them.sign(them.claims(`${CAEP}session-revoked`, sub_id)), 'invalid_request'),
  );
  it('has no subject at all', () =>
    refused(them.sign(them.claims(`${CAEP}session-revoked`, undefined)), 'invalid_request'));
  it('holds an event that is not known, beside one that is', async () => {
    const events = { [`${CAEP}session-revoked`]: {}, 'https://schemas.example/other': {} };
    await refused(them.sign(revoke({ events })), 'invalid_request');
    await refused(them.sign(revoke({ events: { constructor: {} } })), 'invalid_request');
    await refused(them.sign(revoke({ events: {} })), 'invalid_request');
  });
  it('comes without the secret of its stream, or with another', async () => {
    await refused(them.sign(revoke()), 'authentication_failed', { authorization: 'Bearer wrong' });
    await refused(them.sign(revoke()), 'authentication_failed', { authorization: '' });
  });
  it('is no event at all', () => refused('not a token', 'invalid_request'));

  it('says nothing of what there is here: known and unknown accounts are refused alike', async () => {
    const answers = await Promise.all(
      ['anna', 'nobody-at-all'].map(async (name) =>
        them.push(
          await them.sign(
            them.claims(`${CAEP}session-revoked`, them.user(name), { aud: 'https://other.example' }),
          ),
        ),
      ),
    );
    expect(answers[0]?.json).toEqual(answers[1]?.json);
  });

  it('is recorded, where it names a stream of ours', async () => {
    const codes = (await them.records('signal.refused')).map(({ code }) => code);
    expect(new Set(codes)).toEqual(
      new Set(['invalid_request', 'invalid_key', 'invalid_audience', 'authentication_failed']),
    );
    expect(codes.length).toBeLessThanOrEqual(40);
  });
});
