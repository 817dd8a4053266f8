/** A token issuer on this machine, for a server that runs without the demo company. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { ISSUER } from './dealing.ts';

const AUDIENCE = 'urn:bulkhead:bench';
const KEY_ID = 'bench';

export interface TokenIssuer {
  /** Path of a bulkhead.yaml that trusts it. */
  readonly configFile: string;
  /** @param claims over or beside the usual ones */
  token(account: string, claims?: Readonly<Record<string, unknown>>): Promise<string>;
  close(): void;
}

/** @param settings other parts of the configuration */
export async function startIssuer(
  tenant: string,
  folder: string,
  settings: object = {},
): Promise<TokenIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'ES256', use: 'sig' }];
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  const configFile = join(folder, 'bench.yaml');
  const issuer = { name: ISSUER, tenant, issuer: url, audience: AUDIENCE, jwksUri: `${url}/jwks` };
  writeFileSync(configFile, stringify({ ...settings, issuers: [issuer] }));
  return {
    configFile,
    token: (account, claims = {}) =>
      new SignJWT({ client_id: 'bench', acr: 'pwd', auth_time: Math.floor(Date.now() / 1000), ...claims })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: KEY_ID })
        .setIssuer(url)
        .setAudience(AUDIENCE)
        .setSubject(account)
        .setIssuedAt()
        .setExpirationTime('1h')
        .sign(privateKey),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
