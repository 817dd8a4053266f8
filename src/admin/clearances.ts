/** What principals are cleared for, hold and may do for others. Administered at the root; rights, per container. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import { heldPrincipals } from '../store/api-keys.ts';
import { Directory } from '../store/directory.ts';
import { Principals } from '../store/principals.ts';
import { bindingsOf, RIGHTS, removeBindings } from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { type Bounds, idOf, interval, invalid, knownPrincipals, readLabel, readValidity } from './input.ts';
import { containerWithRight, requireDirectoryRight } from './reach.ts';
import { OwnRaise, type OwnRaiseRule, ownPrincipals, refuseOwn } from './separation-of-duties.ts';

export interface ClearanceInput {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
}

/**
 * @throws BulkheadError `right_missing`, `unknown_principal`, `unknown_level`, `unknown_compartment`,
 *   `invalid_request`, `conflict` when it is held already, `separation_of_duties`
 */
export async function grantClearance(
  parts: AdminParts,
  caller: AdminCaller,
  input: ClearanceInput & Bounds,
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'grantClearance',
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer): Promise<Outcome<void>> => {
      const { principal, level } = input;
      const { compartments } = readLabel(parts.scheme, input);
      const validity = readValidity(input);
      await refuseForOneself(changer, 'clearance', principal);
      const before = await Principals.within(changer.trx).clearancesOf(principal);
      await Directory.within(changer.trx).grantClearance([{ principal, level, compartments, ...validity }]);
      const after = await Principals.within(changer.trx).clearancesOf(principal);
      if (after.length === before.length)
        throw new BulkheadError('conflict', 'This clearance is held already.');
      const body = { ...changer.by, principal, level, compartments, ...interval(validity) };
      return { result: undefined, events: [{ tenant: tenantOf(changer), kind: 'clearance.added', body }] };
    },
  });
}

/** Takes back the clearances of exactly this level and these compartments. @throws BulkheadError `right_missing`, `not_found` */
export async function revokeClearance(
  parts: AdminParts,
  caller: AdminCaller,
  { principal, level, compartments }: ClearanceInput,
): Promise<void> {
  const wanted = [...new Set(compartments)].sort().join();
  await makeChange(parts, caller, {
    operation: 'revokeClearance',
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer): Promise<Outcome<void>> => {
      const held = await Principals.within(changer.trx).clearancesOf(principal);
      const gone = held.filter(
        (row) => row.level === level && [...row.compartments].sort().join() === wanted,
      );
      if (gone.length === 0) throw new BulkheadError('not_found', 'There is no such clearance.');
      await Directory.within(changer.trx).revokeClearance(gone.map(({ id }) => id));
      const events = gone.map(({ id: _, ...row }): AuditEvent => {
        return { tenant: tenantOf(changer), kind: 'clearance.removed', body: { ...changer.by, ...row } };
      });
      return { result: undefined, events };
    },
  });
}

export interface RoleInput {
  readonly container: string;
  readonly principal: string;
  /** One of `RIGHTS`, or `unmask:<kind>`. */
  readonly right: string;
}

/**
 * Gives a right on a container and what is below it. Needs `administer` there.
 * @throws BulkheadError `unknown_container`, `right_missing`, `unknown_principal`, `invalid_request`, `conflict` when
 *   it is held already, `separation_of_duties`
 */
export async function bindRole(
  parts: AdminParts,
  caller: AdminCaller,
  input: RoleInput & Bounds,
): Promise<void> {
  const { principal, right } = input;
  if (!isRight(right)) throw invalid('right', `must be one of ${RIGHTS.join(', ')}, unmask:<kind>`);
  await makeChange(parts, caller, {
    operation: 'bindRole',
    locate: (authority) => containerWithRight(parts, authority, input.container, 'administer'),
    apply: async (changer, { path }): Promise<Outcome<void>> => {
      const validity = readValidity(input);
      await refuseForOneself(changer, 'right', principal);
      const before = await bindingsOf(changer.trx, principal);
      await Directory.within(changer.trx).bindRight([{ principal, container: path, right, ...validity }]);
      const after = await bindingsOf(changer.trx, principal);
      if (after.length === before.length) throw new BulkheadError('conflict', 'This right is held already.');
      const body = { ...changer.by, container: path, principal, right, ...interval(validity) };
      return { result: undefined, events: [{ tenant: tenantOf(changer), kind: 'right.added', body }] };
    },
  });
}

function isRight(right: string): boolean {
  return RIGHTS.some((known) => known === right) || /^unmask:[a-z-]+$/.test(right);
}

/** Takes a right back, whatever its validity. Needs `administer` there. @throws BulkheadError `not_found`, `right_missing` */
export async function unbindRole(
  parts: AdminParts,
  caller: AdminCaller,
  { container, principal, right }: RoleInput,
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'unbindRole',
    locate: (authority) => containerWithRight(parts, authority, container, 'administer'),
    apply: async (changer): Promise<Outcome<void>> => {
      const held = await bindingsOf(changer.trx, principal);
      const gone = held.filter((row) => row.container === container && row.right === right);
      if (gone.length === 0)
        throw new BulkheadError('not_found', 'Nobody holds this right here by that name.');
      await removeBindings(
        changer.trx,
        gone.map(({ id }) => id),
      );
      const events = gone.map(({ id: _, ...row }): AuditEvent => {
        return { tenant: tenantOf(changer), kind: 'right.removed', body: { ...changer.by, ...row } };
      });
      return { result: undefined, events };
    },
  });
}

export interface CeilingInput {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
  /** Paths; `/` is the whole tenant. */
  readonly containers: readonly string[];
}

/**
 * How far a service may act for people. Needs `administer` at the root.
 * @throws BulkheadError `right_missing`, `unknown_principal`, `unknown_level`, `unknown_compartment`,
 *   `unknown_container`, `invalid_request`, `separation_of_duties` from a service about itself
 */
export async function setActorCeiling(
  parts: AdminParts,
  caller: AdminCaller,
  input: CeilingInput,
): Promise<void> {
  const { principal, level } = input;
  if (!principal.startsWith('service:')) throw invalid('principal', 'must be service:<issuer>|<id>');
  await makeChange(parts, caller, {
    operation: 'setActorCeiling',
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer): Promise<Outcome<void>> => {
      await refuseOwnCeiling(changer, principal);
      const { compartments } = readLabel(parts.scheme, input);
      const containers = [...new Set(input.containers)].sort();
      const before = (await Principals.within(changer.trx).ceilingOf(principal)) ?? null;
      await Directory.within(changer.trx).setCeiling([{ principal, level, compartments, containers }]);
      const body = { ...changer.by, principal, level, compartments, containers, before };
      return { result: undefined, events: [{ tenant: tenantOf(changer), kind: 'ceiling.set', body }] };
    },
  });
}

/** Neither one's own nor that of the service acting, nor what keeps a key that one made within its limits. */
async function refuseOwnCeiling({ trx, authority }: Changer, principal: string): Promise<void> {
  const { user, actor } = authority.subject;
  const id = (await Principals.within(trx).idsOf([principal])).get(principal);
  const isHeld = id !== undefined && (await heldPrincipals(trx, authority)).has(id);
  if (principal === user.name || principal === actor?.name || isHeld)
    throw new OwnRaise('ceiling', principal);
}

async function refuseForOneself({ trx, authority }: Changer, rule: OwnRaiseRule, key: string): Promise<void> {
  const id = idOf(await knownPrincipals(trx, [key]), key);
  refuseOwn(await ownPrincipals(trx, authority), rule, [{ id, key }]);
}

const tenantOf = ({ authority }: Changer) => authority.subject.tenant;
