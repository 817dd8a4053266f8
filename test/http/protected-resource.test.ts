/** What clients are told of how to come in: RFC 9728, and the challenges of RFC 6750, 9449 and 9470. */
import { describe, expect, it } from 'vitest';
import { resourceSchema } from '../../src/config/resource.ts';
import { BulkheadError } from '../../src/errors.ts';
import { problemHeaders, problemResponse } from '../../src/http/problem.ts';
import {
  challengeOptions,
  metadataUrl,
  type ProtectedResource,
  protectedResourceRoutes,
} from '../../src/http/protected-resource.ts';
import { openTestApp } from '../helpers/app.ts';

const RESOURCE: ProtectedResource = {
  identifier: new URL('https://bulkhead.example'),
  authorizationServers: ['https://login.example', 'https://other.example/realms/a'],
  scopes: ['bulkhead.read'],
  dpop: { algorithms: ['ES256', 'EdDSA'], isRequired: false },
  isCertificateBound: false,
};
const METADATA = 'https://bulkhead.example/.well-known/oauth-protected-resource';

describe('The metadata of the resource', () => {
  it('is what RFC 9728 asks for, and leaves out what has no value', async () => {
    const app = protectedResourceRoutes(RESOURCE);
    const response = await app.request('/.well-known/oauth-protected-resource');
    expect(response.headers.get('cache-control')).toBe('public, max-age=3600');
    expect(await response.json()).toEqual({
      resource: 'https://bulkhead.example',
      authorization_servers: ['https://login.example', 'https://other.example/realms/a'],
      scopes_supported: ['bulkhead.read'],
      bearer_methods_supported: ['header'],
      tls_client_certificate_bound_access_tokens: false,
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA'],
    });
    const bare = protectedResourceRoutes({
      ...RESOURCE,
      authorizationServers: [],
      scopes: [],
      dpop: undefined,
    });
    expect(await (await bare.request('/.well-known/oauth-protected-resource')).json()).toEqual({
      resource: 'https://bulkhead.example',
      bearer_methods_supported: ['header'],
      tls_client_certificate_bound_access_tokens: false,
    });
  });

  it('says that proofs of possession are required where they are', async () => {
    const app = protectedResourceRoutes({ ...RESOURCE, dpop: { algorithms: ['ES256'], isRequired: true } });
    const { json } = { json: await (await app.request('/.well-known/oauth-protected-resource')).json() };
    expect(json).toMatchObject({ dpop_bound_access_tokens_required: true });
  });

  it('of a resource with a path stands between host and path, and nowhere else', async () => {
    const identifier = new URL('https://gateway.example/rag/v1');
    const resource = { ...RESOURCE, identifier };
    expect(metadataUrl(resource).href).toBe(
      'https://gateway.example/.well-known/oauth-protected-resource/rag/v1',
    );
    const app = protectedResourceRoutes(resource);
    app.onError(
      (error) => new Response(null, { status: error instanceof BulkheadError ? error.status : 500 }),
    );
    const status = async (path: string) => (await app.request(path)).status;
    const response = await app.request('/.well-known/oauth-protected-resource/rag/v1');
    expect(await response.json()).toMatchObject({ resource: 'https://gateway.example/rag/v1' });
    expect(await status('/.well-known/oauth-protected-resource')).toBe(404);
    expect(await status('/.well-known/oauth-protected-resource/rag')).toBe(404);
    expect(await status('/.well-known/oauth-protected-resource/rag/v1/x')).toBe(404);
  });

  it('is configured as a URL without query and fragment', () => {
    expect(resourceSchema.parse({ identifier: 'https://a.example/x' })).toMatchObject({});
    for (const identifier of ['a.example', 'https://a.example/?x', 'https://a.example/#x', 'ftp://a.example'])
      expect(resourceSchema.safeParse({ identifier }).success, identifier).toBe(false);
  });
});

describe('A challenge', () => {
  const told = (error: BulkheadError, resource: ProtectedResource = RESOURCE) =>
    problemHeaders(error, challengeOptions(resource))['www-authenticate'];
  const WHERE = `realm="bulkhead", resource_metadata="${METADATA}"`;

  it('without a credential names the schemes and where to read on, and no error', () => {
    expect(told(new BulkheadError('missing_token', 'Send one.'))).toBe(
      `Bearer ${WHERE}, DPoP ${WHERE}, algs="ES256 EdDSA"`,
    );
    expect(told(new BulkheadError('missing_token', 'Send one.'), { ...RESOURCE, dpop: undefined })).toBe(
      `Bearer ${WHERE}`,
    );
  });

  it.each([
    ['invalid_token', 'invalid_token'],
    ['credential_revoked', 'invalid_token'],
    ['insufficient_scope', 'insufficient_scope'],
  ] as const)('of %s says %s to both schemes', (code, error) => {
    const said = `error="${error}", error_description="Not this."`;
    expect(told(new BulkheadError(code, 'Not this.'))).toBe(
      `Bearer ${WHERE}, ${said}, DPoP ${WHERE}, ${said}, algs="ES256 EdDSA"`,
    );
  });

  it('of a scope that is missing names it, on a 403', () => {
    const error = new BulkheadError('insufficient_scope', 'Not for this.', { challenge: { scope: 'audit' } });
    expect(error.status).toBe(403);
    expect(told(error)).toContain(
      'error="insufficient_scope", error_description="Not for this.", scope="audit"',
    );
    expect(told(new BulkheadError('right_missing', 'No.'))).toBeUndefined();
  });

  it('of a stronger sign-in says which', () => {
    const challenge = { acr_values: 'mfa phr', max_age: '300' };
    expect(told(new BulkheadError('step_up_required', 'Again.', { challenge }))).toContain(
      'error="insufficient_user_authentication", error_description="Again.", acr_values="mfa phr", max_age="300"',
    );
  });

  it('of a bad proof speaks of it to the scheme that has proofs', () => {
    const error = new BulkheadError('invalid_token', 'The proof is not for this request.', {
      challenge: { error: 'invalid_dpop_proof' },
    });
    expect(told(error)).toBe(
      `Bearer ${WHERE}, DPoP ${WHERE}, error="invalid_dpop_proof", error_description="The proof is not for this request.", algs="ES256 EdDSA"`,
    );
  });

  it('cannot be broken out of', () => {
    const header = told(new BulkheadError('invalid_token', 'a", scope="all\r\nset-cookie: x=1'));
    expect(header).not.toMatch(/[\r\n]/);
    expect(header).toContain('error_description="a, scope=allset-cookie: x=1"');
    expect(() => problemResponse(new BulkheadError('invalid_token', '\u{1f511}ключ'), 'r')).not.toThrow();
  });
});

describe('The running service', () => {
  it('tells a client that it refuses where its tokens come from', async () => {
    const test = await openTestApp(undefined, { resource: RESOURCE });
    try {
      const refused = await test.ask(undefined, 'GET', '/v1/documents');
      expect(refused.status).toBe(401);
      expect(refused.headers.get('www-authenticate')).toContain(`resource_metadata="${METADATA}"`);
      const metadata = await test.ask(undefined, 'GET', '/.well-known/oauth-protected-resource');
      expect(metadata.status).toBe(200);
      expect(metadata.json).toMatchObject({ resource: 'https://bulkhead.example' });
      const other = await test.ask(undefined, 'GET', '/.well-known/oauth-protected-resource/x');
      expect([other.status, other.json.code]).toEqual([404, 'not_found']);
      const bad = await fetch(`${test.url}/v1/documents`, { headers: { authorization: 'Bearer a.b.c' } });
      expect(bad.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token".*, DPoP .*algs=/);
    } finally {
      await test.close();
    }
  }, 60_000);
});
