/** Whom an event is about (RFC 9493): a session or an account of the one issuer that its transmitter may speak of. */
import { type Claims, claim, isPrincipalId, isRecord, writtenId } from './claim-values.ts';
import type { ProviderKind } from './issuer-profile.ts';
import { SecurityEventRefused } from './security-event-refusal.ts';

/** The only one whose subjects may be named. */
export interface SubjectIssuer {
  /** What events call it. */
  readonly subjectIssuer: string;
  /** Its ids are escaped in principals as its kind has it. */
  readonly issuerKind: ProviderKind;
}

/** The account as principals have it, the session as tokens do; both absent where the event is about something else. */
export interface EventSubject {
  readonly user: string | undefined;
  readonly session: string | undefined;
}

/**
 * An account is named by issuer and subject, a session by its id. Addresses and telephone numbers are refused: they
 * change hands, so that whoever has one now need not be whoever is meant.
 * @throws SecurityEventRefused
 */
export function readSubject(subject: unknown, issuer: SubjectIssuer): EventSubject {
  if (!isRecord(subject)) throw refuse('The claim sub_id must be an object.');
  if (subject.format !== 'complex')
    return subject.format === 'opaque'
      ? { user: undefined, session: idIn(subject, 'id') }
      : { user: accountIn(subject, issuer), session: undefined };
  const { user, session } = subject;
  if (user === undefined && session === undefined)
    throw refuse('A complex subject must name a user or a session.');
  return {
    user: user === undefined ? undefined : accountIn(user, issuer),
    session: session === undefined ? undefined : sessionIn(session, issuer),
  };
}

function accountIn(subject: unknown, issuer: SubjectIssuer): string {
  return idIn(ofIssuer(subject, issuer), 'sub', (id) => writtenId(id, { kind: issuer.issuerKind }));
}

function ofIssuer(subject: unknown, { subjectIssuer }: SubjectIssuer): Claims {
  if (!isRecord(subject) || subject.format !== 'iss_sub')
    throw refuse('Name accounts in the format iss_sub; what can be given to somebody else names nobody.');
  if (subject.iss !== subjectIssuer)
    throw refuse('The event is about a subject of an issuer that is not this stream’s.');
  return subject;
}

function sessionIn(subject: unknown, issuer: SubjectIssuer): string {
  if (!isRecord(subject)) throw refuse('The session must be an object.');
  return subject.format === 'opaque' ? idIn(subject, 'id') : idIn(ofIssuer(subject, issuer), 'sub');
}

function idIn(subject: Claims, name: string, written = (id: string) => id): string {
  const given = claim(subject, name);
  const id = typeof given === 'string' ? written(given) : given;
  if (!isPrincipalId(id)) throw refuse(`The member "${name}" of the subject is missing or cannot be an id.`);
  return id;
}

function refuse(description: string): SecurityEventRefused {
  return new SecurityEventRefused('invalid_request', description);
}
