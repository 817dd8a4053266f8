/** What a key would let its maker read and do: the rules of separation-of-duties.ts, put to a key. */
import { BulkheadError, isBulkheadError } from '../errors.ts';
import type { ClassId, Instant } from '../policy/ids.ts';
import { parsePrincipal } from '../policy/principal.ts';
import { ApiKeys, classesWithin, KEY_ISSUER } from '../store/api-keys.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import type { Work } from '../store/database.ts';
import { newlyIssued } from '../store/revocable.ts';
import { boundariesOf, groupsAround, principalsNow, requireCredentialRight } from '../store/rights.ts';
import { CREDENTIAL_RIGHTS, type CredentialRight } from '../store/session-context.ts';
import { readVisibleSet } from '../store/visible-set.ts';
import type { AdminParts, Changer } from './change.ts';
import { invalid, readLabel } from './input.ts';
import { OwnRaise } from './separation-of-duties.ts';

/** Whom a key is for, and what it is limited to: without level, compartments and containers, to its rights alone. */
export interface WantedKey {
  /** Text form. */
  readonly service: string;
  readonly rights: readonly CredentialRight[];
  /** The highest level that it reads; every level by default. */
  readonly level?: string | undefined;
  /** All that there are, by default. */
  readonly compartments?: readonly string[] | undefined;
  /** Paths; the whole tenant by default. */
  readonly containers?: readonly string[] | undefined;
}

export interface KeyLimits {
  readonly level: string;
  readonly compartments: readonly string[];
  readonly containers: readonly string[];
}

export interface KeyUse {
  readonly service: Authority['subject']['user'];
  readonly rights: readonly CredentialRight[];
  /** Absent: only its rights limit the key. */
  readonly limits: KeyLimits | undefined;
  /** Whether it would read, now or later, what its maker may not, however strongly they sign in. */
  readonly readsMore: boolean;
}

/**
 * Outside a unit of work, in the epoch of the maker's authority or a later one.
 * @throws BulkheadError `insufficient_scope` for a right that the maker's own credential is not for;
 *   `invalid_request`, `unknown_principal`, `unknown_level`, `unknown_compartment`
 */
export async function locateKeyUse(
  parts: AdminParts,
  maker: Authority,
  identity: CallerIdentity,
  wanted: WantedKey,
): Promise<KeyUse> {
  const rights = CREDENTIAL_RIGHTS.filter((right) => wanted.rights.includes(right));
  if (rights.length === 0) throw invalid('rights', `must name some of ${CREDENTIAL_RIGHTS.join(', ')}`);
  for (const right of rights) requireCredentialRight(maker.context, right);
  const limits = limitsOf(parts, wanted);
  const service = await serviceOf(parts, identity, wanted.service);
  const readsMore =
    rights.includes('read') && (await gains(parts, maker, identity, service, limits)).length > 0;
  return { service: service.subject.user, rights, limits, readsMore };
}

function limitsOf({ scheme }: AdminParts, wanted: WantedKey): KeyLimits | undefined {
  const { level, compartments, containers } = wanted;
  if (level === undefined && compartments === undefined && containers === undefined) return undefined;
  if (containers?.length === 0) throw invalid('containers', 'must not be empty');
  const highest = scheme.levels.reduce((a, b) => (b.rank > a.rank ? b : a));
  const label = { level: level ?? highest.name, compartments: compartments ?? [...scheme.compartments] };
  return {
    level: label.level,
    compartments: readLabel(scheme, label).compartments,
    containers: [...new Set(containers ?? ['/'])].sort(),
  };
}

/** As the service would come with a key: by the directory alone. */
async function serviceOf(
  { database, scheme }: AdminParts,
  { tenant }: CallerIdentity,
  service: string,
): Promise<Authority> {
  const parsed = parsePrincipal(service);
  if (parsed?.kind !== 'service' || parsed.issuer === KEY_ISSUER)
    throw invalid('service', 'must be service:<issuer>|<client>');
  const nobody = { actor: undefined, acr: undefined, authTime: undefined, tokenGroups: [] };
  const identity = { ...nobody, tenant, user: service, revocable: newlyIssued([service]) };
  try {
    return await authorize(database, 'admin', scheme, identity);
  } catch (error) {
    if (!isBulkheadError(error)) throw error;
    if (error.code === 'subject_unknown')
      throw new BulkheadError('unknown_principal', `The directory does not have ${service}.`);
    if (error.code === 'subject_disabled')
      throw new BulkheadError('conflict', 'The account of the service is disabled.');
    throw error;
  }
}

/** Beyond it nothing is compared, and no key made. */
const MOST_BOUNDARIES = 100;

/**
 * Classes that the key reads and its maker does not, both as if signed in as strongly as any level asks: now, or from any
 * later instant on at which something of theirs begins or ends.
 */
async function gains(
  parts: AdminParts,
  maker: Authority,
  { tokenGroups }: CallerIdentity,
  service: Authority,
  limits: KeyLimits | undefined,
): Promise<readonly ClassId[]> {
  const { database } = parts;
  const within = <T>(now: Instant, work: (trx: Work) => Promise<T>) =>
    database.unitOfWork('admin', { ...maker.context, now }, work);
  const ofToken = tokenGroups === 'unknown' ? [] : tokenGroups;
  const later = await within(maker.now, async (trx) =>
    boundariesOf(
      trx,
      await groupsAround(trx, [...maker.subject.user.principals, ...service.subject.user.principals]),
    ),
  );
  if (later.length > MOST_BOUNDARIES)
    throw new BulkheadError(
      'conflict',
      'Too much of what you or the service may read begins or ends at times of its own. Make a key that does not read.',
    );
  for (const now of [maker.now, ...later]) {
    const own = await readAt(parts, maker, ofToken, now);
    const more = [...(await readAt(parts, service, [], now))].filter((id) => !own.has(id));
    const found =
      limits && more.length > 0 ? await within(now, (trx) => classesWithin(trx, more, limits)) : more;
    if (found.length > 0) return found;
  }
  return [];
}

async function readAt(
  { database, scheme }: AdminParts,
  { subject, context }: Authority,
  ofToken: readonly string[],
  now: Instant,
): Promise<ReadonlySet<ClassId>> {
  const maxRank = Math.max(...scheme.levels.map(({ rank }) => rank));
  const keys = [subject.user.name, 'everyone', ...ofToken];
  const principals = await database.unitOfWork('admin', { ...context, now }, (trx) =>
    principalsNow(trx, keys),
  );
  const at = { ...context, principals, maxRank, now };
  return new Set((await readVisibleSet(database, at, undefined, 'admin')).ranks.keys());
}

/** @throws OwnRaise when the key would give its maker what they do not have */
export async function refuseGainsOfKey(changer: Changer, use: KeyUse): Promise<void> {
  const { trx, authority } = changer;
  const { user, actor } = authority.subject;
  const { service, rights, limits, readsMore } = use;
  if (actor !== undefined || user.principal === service.principal) throw new OwnRaise('key', service.name);
  if (readsMore) throw new OwnRaise('effect', service.name);
  const principals = await groupsAround(trx, service.principals);
  const more = await ApiKeys.within(trx).rightsBeyondCaller(principals, rights, limits?.containers);
  if (more.length > 0) throw new OwnRaise('right', service.name);
}
