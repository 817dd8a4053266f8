// An identity provider's two public documents over TLS, for a namespace of its own: the key set comes as an argument.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [folder, issuer, keys] = process.argv.slice(2);
const documents = {
  [`${new URL(issuer).pathname}/.well-known/openid-configuration`]: { issuer, jwks_uri: `${issuer}/jwks` },
  [`${new URL(issuer).pathname}/jwks`]: JSON.parse(keys),
};
const certificate = {
  cert: readFileSync(`${folder}/keycloak.crt`),
  key: readFileSync(`${folder}/keycloak.key`),
};
createServer(certificate, (request, response) => {
  const document = documents[request.url];
  response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(document ?? {}));
}).listen(Number(new URL(issuer).port), '0.0.0.0', () => process.stdout.write('up\n'));
