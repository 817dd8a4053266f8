// For the container's health check: exit code 0 when the address answers 200 within four seconds. It asks its own
// container, by an address that the certificate does not name, and believes nothing but the status.
import { get } from 'node:http';
import { get as getSecurely } from 'node:https';

const address = new URL(process.argv[2] ?? 'http://127.0.0.1:8080/readyz');
const options = { timeout: 4_000, rejectUnauthorized: false };
const request = (address.protocol === 'https:' ? getSecurely : get)(address, options, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1);
});
request.on('timeout', () => request.destroy(new Error('timeout')));
request.on('error', () => process.exit(1));
