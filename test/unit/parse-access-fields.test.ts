import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { parseAclFile, readAccessFields } from '../../src/ingest/parsers/access-fields.ts';

function failure(run: () => unknown): BulkheadError {
  try {
    run();
  } catch (error) {
    if (error instanceof BulkheadError) return error;
  }
  throw new Error('expected a BulkheadError');
}

describe('access fields', () => {
  it('are read from an .acl.yaml file', () => {
    const fields = parseAclFile(`
level: confidential
compartments: [payroll, legal, payroll]
inherits: false
entries:
  - { allow: "group:workforce|hr" }
  - { deny: "user:workforce|tom.brandt", from: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00+01:00 }
`);
    expect(fields).toEqual({
      level: 'confidential',
      compartments: ['payroll', 'legal'],
      inherits: false,
      entries: [
        { principal: 'group:workforce|hr', effect: 'allow' },
        {
          principal: 'user:workforce|tom.brandt',
          effect: 'deny',
          validFrom: Date.UTC(2026, 0, 1),
          validUntil: Date.UTC(2026, 11, 31, 23),
        },
      ],
    });
  });

  it('are all optional', () => {
    expect(parseAclFile('')).toEqual({ compartments: [], entries: [] });
    expect(readAccessFields({})).toEqual({ compartments: [], entries: [] });
  });

  it('stand among other keys in front matter, rows and bodies, but not in .acl.yaml', () => {
    expect(readAccessFields({ title: 'T', date: '2026-01-01', level: 'internal' }).level).toBe('internal');
    expect(failure(() => parseAclFile('title: T')).code).toBe('unparsable');
  });

  it.each([
    'Level',
    'LEVEL',
    'label',
    'classification',
    'compartment',
    'entry',
    'Entries',
    'inherit',
    'acl',
    'deny',
  ])('refuse %s, which its author may take for one of them', (key) => {
    expect(failure(() => readAccessFields({ [key]: 'restricted' })).issues).toEqual([
      { path: key, message: 'is not an access field' },
    ]);
  });

  it.each([
    ['level', { level: null }],
    ['level', { level: ['restricted'] }],
    ['level', { level: '' }],
    ['compartments', { compartments: 'legal' }],
    ['inherits', { inherits: 'no' }],
    ['entries', { entries: { allow: 'everyone' } }],
    ['entries', { entries: null }],
    ['entries.0', { entries: [{ allow: 'everyone', deny: 'everyone' }] }],
    ['entries.0', { entries: [{}] }],
    ['entries.0', { entries: [{ allow: 'everyone', form: '2026-01-01T00:00:00Z' }] }],
    ['entries.0', { entries: [{ allow: 'anna' }] }],
    ['entries.0', { entries: [{ allow: 'user:workforce' }] }],
    ['entries.0', { entries: [{ allow: 'everyone', from: '2026-01-01' }] }],
    ['entries.0', { entries: [{ allow: 'everyone', from: '2026-01-01T00:00:00' }] }],
    ['entries.0', { entries: [{ allow: 'everyone', from: '2026-02-30T00:00:00Z' }] }],
    ['entries.0', { entries: [{ allow: 'everyone', until: 1_767_225_600 }] }],
    [
      'entries.0',
      { entries: [{ allow: 'everyone', from: '2026-02-01T00:00:00Z', until: '2026-02-01T00:00:00Z' }] },
    ],
  ])('refuse a bad %s with an issue: %j', (path, raw) => {
    const error = failure(() => readAccessFields(raw));
    expect(error.code).toBe('unparsable');
    expect(error.issues[0]?.path).toMatch(new RegExp(`^${path.replace('.', '\\.')}`));
  });

  it('say what is wrong inside an entry', () => {
    const messages = (entry: unknown) =>
      failure(() => readAccessFields({ entries: [entry] })).issues.map((i) => i.message);
    expect(messages({ allow: 'anna' }).join()).toContain('user:<issuer>|<id>');
    expect(messages({ deny: 'everyone', from: '2026-01-01' }).join()).toContain('with a zone');
    expect(messages({}).join()).toContain('one allow or one deny');
  });

  it.each(['text', 5, null, [], undefined])('refuse %j', (raw) => {
    expect(failure(() => readAccessFields(raw)).code).toBe('unparsable');
  });
});
