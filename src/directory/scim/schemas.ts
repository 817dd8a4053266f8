/**
 * What is kept of a person and a group, as RFC 7643 §7 describes attributes. Of the RFC's attributes those that
 * somebody administering access would look at; telephone numbers, addresses, photos and passwords are taken in and
 * thrown away.
 */
export interface Attribute {
  readonly name: string;
  readonly type: 'string' | 'boolean' | 'complex' | 'reference' | 'dateTime';
  readonly multiValued: boolean;
  readonly description: string;
  readonly required: boolean;
  readonly caseExact: boolean;
  readonly mutability: 'readWrite' | 'readOnly' | 'immutable';
  readonly returned: 'always' | 'default';
  readonly uniqueness: 'none' | 'server';
  readonly canonicalValues?: readonly string[];
  readonly referenceTypes?: readonly string[];
  readonly subAttributes?: readonly Attribute[];
}

export interface ResourceSchema {
  readonly id: string;
  readonly name: 'User' | 'Group';
  readonly endpoint: '/Users' | '/Groups';
  readonly description: string;
  readonly attributes: readonly Attribute[];
}

/** Which attribute of a user is the subject in its tokens. */
export type SubjectAttribute = 'externalId' | 'userName' | 'id';

export const USER_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:User';
export const GROUP_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:Group';

function attribute(
  name: string,
  description: string,
  more: Partial<Omit<Attribute, 'name' | 'description'>> = {},
): Attribute {
  return {
    name,
    type: 'string',
    multiValued: false,
    description,
    required: false,
    caseExact: false,
    mutability: 'readWrite',
    returned: 'default',
    uniqueness: 'none',
    ...more,
  };
}

const readOnly = { mutability: 'readOnly' } as const;
const complex = (subAttributes: readonly Attribute[]) => ({ type: 'complex', subAttributes }) as const;
const list = (subAttributes: readonly Attribute[]) =>
  ({ type: 'complex', multiValued: true, subAttributes }) as const;

const NAME = [
  attribute('formatted', 'The full name as it is shown.'),
  attribute('familyName', 'The family name.'),
  attribute('givenName', 'The given name.'),
  attribute('middleName', 'The middle names.'),
];
const EMAIL = [
  attribute('value', 'The address.'),
  attribute('type', 'What it is used for.', { canonicalValues: ['work', 'home', 'other'] }),
  attribute('primary', 'Whether this is the preferred address.', { type: 'boolean' }),
  attribute('display', 'The address as it is shown.'),
];
const GROUP_OF_USER = [
  attribute('value', 'The id of the group.', { ...readOnly, caseExact: true }),
  attribute('$ref', 'The address of the group.', {
    ...readOnly,
    type: 'reference',
    referenceTypes: ['Group'],
    caseExact: true,
  }),
  attribute('display', 'The name of the group.', readOnly),
  attribute('type', 'Whether through another group.', {
    ...readOnly,
    canonicalValues: ['direct', 'indirect'],
  }),
];
const MEMBER = [
  attribute('value', 'The id of the member.', { mutability: 'immutable', caseExact: true }),
  attribute('$ref', 'The address of the member.', {
    mutability: 'immutable',
    type: 'reference',
    referenceTypes: ['User', 'Group'],
    caseExact: true,
  }),
  attribute('type', 'User or Group.', { mutability: 'immutable', canonicalValues: ['User', 'Group'] }),
];

/** @param subject its value names the person in policy, so it is set once */
export function userSchema(subject: SubjectAttribute): ResourceSchema {
  return {
    id: USER_SCHEMA,
    name: 'User',
    endpoint: '/Users',
    description: 'A person who may sign in',
    attributes: [
      attribute('userName', 'Unique in the source, letter case aside.', {
        required: true,
        uniqueness: 'server',
        ...(subject === 'userName' && { mutability: 'immutable' }),
      }),
      attribute('name', 'The parts of the name.', complex(NAME)),
      attribute('displayName', 'The name as it is shown.'),
      attribute('nickName', 'How the person is called.'),
      attribute('title', 'For example, Vice President.'),
      attribute('userType', 'For example, Employee or Contractor.'),
      attribute('preferredLanguage', 'As in RFC 9110 §12.5.4.'),
      attribute('locale', 'For example, en-GB.'),
      attribute('timezone', 'For example, Europe/Berlin.'),
      attribute('active', 'Nobody else is let in: false, or nothing, refuses the person at once.', {
        type: 'boolean',
      }),
      attribute('emails', 'Mail addresses.', list(EMAIL)),
      attribute('groups', 'The groups of this source that hold the person.', {
        ...list(GROUP_OF_USER),
        ...readOnly,
      }),
    ],
  };
}

export const GROUP: ResourceSchema = {
  id: GROUP_SCHEMA,
  name: 'Group',
  endpoint: '/Groups',
  description: 'People, and groups of people',
  attributes: [
    attribute('displayName', 'The name as it is shown.', { required: true }),
    attribute('members', 'Users and groups of this source.', list(MEMBER)),
  ],
};

/** Of every resource (RFC 7643 §3.1); not part of a published schema. */
export const COMMON: readonly Attribute[] = [
  attribute('id', 'Given once and never again.', { ...readOnly, caseExact: true, returned: 'always' }),
  attribute('externalId', "The client's own id.", { caseExact: true }),
  attribute('schemas', 'Which schemas this follows.', {
    ...readOnly,
    caseExact: true,
    returned: 'always',
    multiValued: true,
  }),
  attribute('meta', 'About the resource itself.', {
    ...readOnly,
    ...complex([
      attribute('resourceType', 'User or Group.', { ...readOnly, caseExact: true }),
      attribute('created', 'When it was created.', { ...readOnly, type: 'dateTime' }),
      attribute('lastModified', 'When it was last changed.', { ...readOnly, type: 'dateTime' }),
      attribute('location', 'Its address.', { ...readOnly, type: 'reference', caseExact: true }),
      attribute('version', 'As the ETag.', { ...readOnly, caseExact: true }),
    ]),
  }),
];

/** Names are compared without case (RFC 7643 §2.1). */
export function attributeNamed(attributes: readonly Attribute[], name: string): Attribute | undefined {
  const lower = name.toLowerCase();
  return attributes.find((candidate) => candidate.name.toLowerCase() === lower);
}
