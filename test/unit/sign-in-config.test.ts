import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-config-'));

function load(signIn: string) {
  const file = join(folder, 'bulkhead.yaml');
  writeFileSync(file, `signIn: ${signIn}\n`);
  return loadConfig({ BULKHEAD_CONFIG: file }).signIn;
}

describe('the configuration of the sign-in', () => {
  it('says one client for every issuer, and limits that nobody has to say', () => {
    writeFileSync(join(folder, 'secret'), 'hush\n');
    expect(load('{ clientId: page, clientSecretFile: ./secret }')).toEqual({
      client: { clientId: 'page', clientSecret: 'hush', scope: undefined, offlineAccess: false },
      clients: {},
      idleMinutes: 30,
      absoluteHours: 8,
    });
  });

  it('says another client by the issuer’s name, its scope, and whether to ask for a refresh token', () => {
    const clients =
      '{ entra: { clientId: 9f, scope: "openid api://bulkhead/.default", offlineAccess: true } }';
    expect(load(`{ clients: ${clients}, idleMinutes: 10, absoluteHours: 12 }`)).toEqual({
      client: undefined,
      clients: {
        entra: {
          clientId: '9f',
          clientSecret: undefined,
          scope: 'openid api://bulkhead/.default',
          offlineAccess: true,
        },
      },
      idleMinutes: 10,
      absoluteHours: 12,
    });
  });

  it.each([
    '{}',
    '{ clientId: "" }',
    '{ clientId: a, scope: email }',
    '{ clientId: a, idleMinutes: 0 }',
    '{ clientId: a, secret: x }',
  ])('refuses %s', (signIn) => {
    expect(() => load(signIn)).toThrow(/config_invalid/);
  });
});
