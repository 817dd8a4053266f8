import { describe, expect, it } from 'vitest';
import type { Decision, DenyReason, Trace } from '../../src/policy/decide.ts';
import { describeDecision, type Names } from '../../src/policy/explain.ts';
import { classId, principalId } from '../../src/policy/ids.ts';

const ME = principalId(1);
const GROUP = principalId(2);
const names: Names = {
  subject: ME,
  name: undefined,
  actor: undefined,
  principal: (id) => `the group ${id}`,
  place: (id) => `The folder /${id}`,
  level: (rank) => `level ${rank}`,
};
const label = { rank: 2, compartments: new Set(['b', 'a']) };
const trace: Trace = {
  lineage: [classId(1)],
  label,
  allow: { class: classId(1), entry: { principal: GROUP, effect: 'allow' } },
  deny: undefined,
  clearance: { principal: GROUP, ...label },
};
const denied = (reason: DenyReason, changes: Partial<Trace> = {}): Decision => ({
  kind: 'deny',
  reason,
  trace: { ...trace, ...changes },
});

describe('a decision in sentences', () => {
  it('says what an allow rests on, and through whom', () => {
    expect(describeDecision({ kind: 'allow', trace }, names)).toEqual([
      'Your clearance level 2 + a + b (through the group 2) covers the label level 2 + a + b.',
      'The folder /1 allows the group 2.',
      'No entry denies you or a group that you are in.',
    ]);
  });

  it('says which of the facts is missing, or in the way', () => {
    const deny = { class: classId(7), entry: { principal: ME, effect: 'deny' as const } };
    const about = { ...names, name: 'Tom' };
    const decision = denied('denied', { deny, allow: undefined, clearance: undefined });
    expect(describeDecision(decision, about)).toEqual([
      "None of Tom's clearances alone covers the label level 2 + a + b.",
      'No entry here or above allows Tom or a group that Tom is in.',
      'The folder /7 denies Tom.',
    ]);
  });

  it.each([
    [
      'actor-no-ceiling',
      'Bot, acting for you, has no limits set by an administrator, and so may read nothing.',
    ],
    ['actor-denied', 'Bot, acting for you, is denied by an entry.'],
    ['actor-label', 'Bot, acting for you, is not admitted to this label by its limits.'],
    ['actor-container', 'Bot, acting for you, is not admitted to this folder by its limits.'],
  ] as const)('says why the acting service may not: %s', (reason, sentence) => {
    expect(describeDecision(denied(reason), { ...names, actor: 'Bot' }).at(-1)).toBe(sentence);
  });

  it('says nothing of the acting service where the user alone may not read', () => {
    const steps = describeDecision(denied('no-allow', { allow: undefined }), { ...names, actor: 'Bot' });
    expect(steps.join()).not.toContain('Bot');
  });

  it('says what sign-in a level asks for, and when the directory is too old', () => {
    const need = { acr: ['mfa', 'phr'], maxAuthAgeSeconds: 3600 };
    expect(describeDecision({ kind: 'stepUp', need, trace }, names).at(-1)).toBe(
      'The level asks for a sign-in by mfa or phr at most 60 minutes old.',
    );
    expect(describeDecision(denied('directory-stale'), names).at(-1)).toContain('last current too long ago');
  });

  it('says that nobody may read what has no label, or hangs from nothing', () => {
    const none = { label: undefined, allow: undefined, clearance: undefined };
    expect(describeDecision(denied('no-label', none), names)).toHaveLength(1);
    expect(describeDecision(denied('no-path', none), names)[0]).toContain('could not be walked');
  });
});
