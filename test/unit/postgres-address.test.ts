import { describe, expect, it } from 'vitest';
import { describeAddress, postgresAddress } from '../../src/store/postgres-address.ts';

const addressOf = (url: string, { ca, production = true }: { ca?: string; production?: boolean } = {}) =>
  postgresAddress({ url, ca }, production);
const refused = (code: string, detail: RegExp) =>
  expect.objectContaining({ code, detail: expect.stringMatching(detail) });

describe('The address of a PostgreSQL server', () => {
  it.each([
    'postgres://app@db.example/bulkhead',
    'postgres://app@10.0.0.7/bulkhead',
    'postgres://app@db.example/bulkhead?sslmode=disable',
    'postgres://app@localhost/bulkhead?host=db.example',
  ])('elsewhere is not reached without TLS in production (%s)', (url) => {
    expect(() => addressOf(url)).toThrow(refused('store_unsafe', /would be reached without TLS/));
  });

  it('elsewhere is reached without TLS in development, where the URL says so in as many words', () => {
    const development = { production: false };
    expect(addressOf('postgres://app@db.example/b?sslmode=disable', development).ssl).toBe(false);
    expect(() => addressOf('postgres://app@db.example/b', development)).toThrow(
      refused('store_unsafe', /would be reached without TLS/),
    );
  });

  it.each([
    'postgres://app@localhost/b',
    'postgres://app@127.0.0.1/b',
    'postgres://app@[::1]/b',
    'postgres://app@/b?host=/run/postgresql',
  ])('on this machine needs none (%s)', (url) => {
    expect(addressOf(url).ssl).toBe(false);
  });

  it.each(['require', 'verify-ca', 'verify-full'])('with sslmode=%s is verified in full', (mode) => {
    expect(addressOf(`postgres://app@db.example/b?sslmode=${mode}`).ssl).toEqual({
      rejectUnauthorized: true,
    });
  });

  it('with an authority given is verified against that one, on this machine too', () => {
    expect(addressOf('postgres://app@localhost/b', { ca: 'PEM' }).ssl).toEqual({
      rejectUnauthorized: true,
      ca: 'PEM',
    });
  });

  it.each([
    ['postgres://app@db/b?sslmode=no-verify', /sslmode=no-verify/],
    ['postgres://app@db/b?sslmode=prefer', /sslmode=prefer/],
    ['postgres://app@db/b?uselibpqcompat=true&sslmode=require', /"uselibpqcompat"/],
    ['postgres://app@db/b?options=-c%20row_security=off', /"options"/],
    ['postgres://db/b', /names no user/],
    ['mysql://app@db/b', /not of the form/],
    ['nonsense secret', /not of the form/],
  ])('is refused where it would weaken or mean nothing (%s)', (url, detail) => {
    expect(() => addressOf(url)).toThrow(refused('config_invalid', detail));
  });

  it('takes its password from the file before the URL, and shows neither', () => {
    const url = 'postgres://app:from-url@localhost:6000/b';
    const password = (address: { password?: unknown }) => (address.password as () => string)();
    expect(password(addressOf(url))).toBe('from-url');
    const address = postgresAddress({ url, password: 'from-file' }, true);
    expect(password(address)).toBe('from-file');
    expect(describeAddress(address)).toBe('app@localhost:6000/b');
  });
});
