/** Security event tokens (RFC 8417) by their claims: what happened to whom, and when. */
import type { JWTPayload } from 'jose';
import { type Instant, instant } from '../policy/ids.ts';
import { formatPrincipal } from '../policy/principal.ts';
import type { SecuritySignal } from '../store/security-events.ts';
import { isRecord } from './claim-values.ts';
import { SecurityEventRefused } from './security-event-refusal.ts';
import { type EventSubject, readSubject, type SubjectIssuer } from './security-event-subject.ts';
import { eventType } from './security-event-types.ts';

const MAX_EVENTS = 10;
const MAX_NOTE = 200;
const STREAM_UPDATED = 'ssf/stream-updated';

interface ReadingOptions extends SubjectIssuer {
  /** Name of the issuer profile. */
  readonly issuerName: string;
  /** No event can be later than that. */
  readonly latest: Instant;
}

/**
 * Each event of a token whose signature, issuer, audience and age were accepted. One that is not understood refuses the
 * whole: to say that it was taken would be to promise what nobody does.
 * @throws SecurityEventRefused
 */
export function readSignals(payload: JWTPayload, options: ReadingOptions): readonly SecuritySignal[] {
  // an event token that could be taken for another kind of token names its subject elsewhere (SSF 1.0 §4.1)
  if (Object.hasOwn(payload, 'sub'))
    throw refuse('The subject belongs into sub_id: a claim sub is not accepted.');
  const { events } = payload;
  if (!isRecord(events)) throw refuse('The claim events must be an object.');
  const entries = Object.entries(events);
  if (entries.length === 0 || entries.length > MAX_EVENTS)
    throw refuse(`A token holds one to ${MAX_EVENTS} events.`);
  return entries.map(([uri, event]) => readSignal(uri, event, payload, options));
}

function readSignal(
  uri: string,
  event: unknown,
  payload: JWTPayload,
  options: ReadingOptions,
): SecuritySignal {
  const type = eventType(uri);
  if (type === undefined) throw refuse('The token holds an event of a type that is not known here.');
  if (!isRecord(event)) throw refuse('An event must be an object.');
  const { name, about } = type;
  const effect = name === STREAM_UPDATED && event.status !== 'enabled' ? 'stopped' : type.effect;
  const { issuerName } = options;
  const acts = effect === 'revoke' || effect === 'disable';
  const subject = acts ? readSubject(payload.sub_id, options) : subjectForTheRecord(payload, options);
  const credential = subject && credentialOf(subject, about, issuerName);
  return {
    event: name,
    effect,
    credential: acts ? credential : undefined,
    account: effect === 'disable' && subject ? accountOf(subject, issuerName) : undefined,
    about: credential && `${credential.kind}:${credential.id}`,
    occurredAt: occurredAt(event, payload, options.latest),
    note: noteOf(event),
  };
}

/** Of an event that changes nothing here; whatever it names, an address too, is no reason to refuse it. */
function subjectForTheRecord(payload: JWTPayload, issuer: SubjectIssuer): EventSubject | undefined {
  try {
    return readSubject(payload.sub_id, issuer);
  } catch {
    return undefined;
  }
}

/** What was issued to the account until then is refused, a session for good. */
function credentialOf(
  { user, session }: EventSubject,
  about: 'session' | 'user',
  issuer: string,
): SecuritySignal['credential'] {
  if (session !== undefined && (about === 'session' || user === undefined))
    return { kind: 'session', id: `${issuer}|${session}` };
  return { kind: 'user', id: `${issuer}|${user}` };
}

function accountOf({ user }: EventSubject, issuer: string): string {
  if (user === undefined) throw refuse('An account must be named by issuer and subject.');
  return formatPrincipal({ kind: 'user', issuer, id: user });
}

/** The event's own time, else the token's (`toe`, RFC 8417 §2.2), else when the token was issued. */
function occurredAt(event: Readonly<Record<string, unknown>>, payload: JWTPayload, latest: Instant): Instant {
  const seconds = event.event_timestamp ?? payload.toe ?? payload.iat;
  if (typeof seconds !== 'number' || !(seconds >= 0 && seconds * 1000 <= latest))
    throw refuse('The time of the event makes no sense.');
  return instant(Math.ceil(seconds * 1000));
}

/** What a verification was asked for with, or why a stream stopped: for an auditor, never believed. */
function noteOf({ state, status }: Readonly<Record<string, unknown>>): string | undefined {
  const note = state ?? status;
  return typeof note === 'string' ? note.replace(/[\p{Cc}\p{Cs}]/gu, '').slice(0, MAX_NOTE) : undefined;
}

function refuse(description: string): SecurityEventRefused {
  return new SecurityEventRefused('invalid_request', description);
}
