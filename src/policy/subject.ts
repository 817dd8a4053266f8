import type { Clearance } from './clearance.ts';
import type { ClassId, PrincipalId, TenantId } from './ids.ts';
import type { Assurance, Label } from './label.ts';

/** The person (or a service on its own): every right to read comes from here. */
export interface UserPart {
  readonly principal: PrincipalId;
  /** The text form, for receipts and people. */
  readonly name: string;
  /** Own principal, groups with nesting resolved, and `everyone`. */
  readonly principals: ReadonlySet<PrincipalId>;
  readonly clearances: readonly Clearance[];
  readonly assurance: Assurance;
}

/** How far an admin lets a service act for people. Containers are class ids; the root's means the tenant. */
interface ActorCeiling extends Label {
  readonly containers: ReadonlySet<ClassId>;
}

/** A service acting for the user (RFC 8693 `act`). It only ever narrows. */
export interface ActorPart {
  readonly principal: PrincipalId;
  readonly name: string;
  /** Own principal and its groups: a deny naming one of them holds. */
  readonly principals: ReadonlySet<PrincipalId>;
  /** Absent when no admin has set one: such an actor reads nothing. */
  readonly ceiling: ActorCeiling | undefined;
}

/** The authenticated caller. The two parts are never merged. */
export interface Subject {
  readonly tenant: TenantId;
  readonly user: UserPart;
  readonly actor: ActorPart | undefined;
}
