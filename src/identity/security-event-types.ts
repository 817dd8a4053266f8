/** The events of OpenID CAEP 1.0, RISC 1.0 and the Shared Signals Framework 1.0, and what each comes to here. */
import type { SecuritySignal } from '../store/security-events.ts';

const PREFIX = 'https://schemas.openid.net/secevent/';

interface EventType {
  /** As records name it. */
  readonly name: string;
  readonly effect: SecuritySignal['effect'];
  /** Which of both is meant where an event names a session and its user. */
  readonly about: 'session' | 'user';
}

const of = (
  family: string,
  effect: SecuritySignal['effect'],
  names: string,
  about: EventType['about'] = 'user',
) =>
  names
    .split(' ')
    .map(
      (name) =>
        [`${PREFIX}${family}/event-type/${name}`, { name: `${family}/${name}`, effect, about }] as const,
    );

/**
 * `revoke`: whatever was issued until the event counts no more. A changed credential and a changed assurance are that
 * too, raised ones included: the next token says what holds now. An enabled account is only noted, because a person may
 * have disabled it here, and nothing that comes by itself gives access.
 */
const TYPES: ReadonlyMap<string, EventType> = new Map([
  ...of('caep', 'revoke', 'session-revoked', 'session'),
  ...of('caep', 'revoke', 'token-claims-change credential-change assurance-level-change'),
  ...of('caep', 'noted', 'device-compliance-change session-established session-presented risk-level-change'),
  ...of('risc', 'disable', 'account-disabled account-purged'),
  ...of('risc', 'revoke', 'account-credential-change-required credential-compromise sessions-revoked'),
  ...of('risc', 'noted', 'account-enabled identifier-changed identifier-recycled opt-in opt-out-initiated'),
  ...of(
    'risc',
    'noted',
    'opt-out-cancelled opt-out-effective recovery-activated recovery-information-changed',
  ),
  ...of('ssf', 'noted', 'verification stream-updated'),
]);

/** @returns `undefined` for a type that none of the specifications has */
export function eventType(uri: string): EventType | undefined {
  return TYPES.get(uri);
}
