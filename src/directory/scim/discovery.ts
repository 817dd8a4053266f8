/** What this server offers (RFC 7643 §5 to §7), as it is. */
import { type Attribute, GROUP, type ResourceSchema, type SubjectAttribute, userSchema } from './schemas.ts';
import { MAX_RESULTS } from './search.ts';
import type { Json } from './views.ts';

export const MAX_OPERATIONS = 100;
export const MAX_PAYLOAD_BYTES = 1_000_000;

const CORE = 'urn:ietf:params:scim:schemas:core:2.0';
const supported = { supported: true };
const unsupported = { supported: false };

export function serviceProviderConfig(base: string): Json {
  return {
    schemas: [`${CORE}:ServiceProviderConfig`],
    patch: supported,
    bulk: { ...supported, maxOperations: MAX_OPERATIONS, maxPayloadSize: MAX_PAYLOAD_BYTES },
    filter: { ...supported, maxResults: MAX_RESULTS },
    changePassword: unsupported,
    sort: supported,
    etag: supported,
    authenticationSchemes: [
      {
        type: 'oauthbearertoken',
        name: 'Bearer token',
        description:
          'An access token of a service, or an API key, bound to a directory source by configuration.',
        specUri: 'https://www.rfc-editor.org/rfc/rfc6750',
        primary: true,
      },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${base}/ServiceProviderConfig` },
  };
}

export function resourceTypes(subject: SubjectAttribute, base: string): readonly Json[] {
  return [userSchema(subject), GROUP].map(({ id, name, endpoint, description }) => ({
    schemas: [`${CORE}:ResourceType`],
    id: name,
    name,
    endpoint,
    description,
    schema: id,
    meta: { resourceType: 'ResourceType', location: `${base}/ResourceTypes/${name}` },
  }));
}

export function schemas(subject: SubjectAttribute, base: string): readonly Json[] {
  return [userSchema(subject), GROUP].map((schema) => schemaView(schema, base));
}

function schemaView({ id, name, description, attributes }: ResourceSchema, base: string): Json {
  return {
    schemas: [`${CORE}:Schema`],
    id,
    name,
    description,
    attributes: attributes.map(attributeView),
    meta: { resourceType: 'Schema', location: `${base}/Schemas/${id}` },
  };
}

function attributeView({ subAttributes, ...attribute }: Attribute): Json {
  return { ...attribute, ...(subAttributes && { subAttributes: subAttributes.map(attributeView) }) };
}
