import type { ErrorCode } from '../errors.ts';

/** Who did it and in which request; null where nobody is known, or no request was involved. */
export interface ByWhom {
  readonly subject: string | null;
  readonly actor: string | null;
  readonly request: string | null;
}

/** Instants in milliseconds since 1970; null is open-ended. */
interface ValidityInterval {
  readonly from: number | null;
  readonly until: number | null;
}

interface EntryChange extends ByWhom, ValidityInterval {
  readonly container: string;
  readonly document: string | null;
  readonly principal: string;
  readonly effect: 'allow' | 'deny';
}

interface LabelChange extends ByWhom {
  readonly container: string;
  readonly document: string | null;
  readonly level: string | null;
  readonly compartments: readonly string[];
  readonly before: { readonly level: string | null; readonly compartments: readonly string[] };
}

interface ClearanceChange extends ByWhom, ValidityInterval {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
}

interface MembershipChange extends ByWhom, ValidityInterval {
  readonly group: string;
  readonly member: string;
}

interface RightChange extends ByWhom, ValidityInterval {
  readonly container: string;
  readonly principal: string;
  readonly right: string;
}

interface CeilingChange extends ByWhom {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
  readonly containers: readonly string[];
  readonly before: {
    readonly level: string;
    readonly compartments: readonly string[];
    readonly containers: readonly string[];
  } | null;
}

/** Who may read one document by its own entries, besides what its container says. */
interface DocumentAccess {
  readonly inherits: boolean;
  readonly entries: readonly (ValidityInterval & {
    readonly principal: string;
    readonly effect: 'allow' | 'deny';
  })[];
}

/** A change that would have raised, or did widen, what its maker may read; the operation is a method's name. */
interface OwnGain extends ByWhom {
  readonly operation: string;
  readonly rule: string;
  /** The principal, container or document that was to be changed. */
  readonly target: string;
}

interface SignalReceived extends ByWhom {
  /** The issuer of the security event token, and its id there. */
  readonly transmitter: string;
  readonly jti: string;
  readonly event: string;
  readonly effect: 'revoke' | 'disable' | 'noted' | 'stopped';
  /** A principal, known here or not, or `session:<issuer>|<id>`. */
  readonly about: string | null;
  readonly occurredAt: number;
  /** The transmitter's own words. */
  readonly note: string | null;
}

interface DocumentEvent extends ByWhom {
  readonly document: string;
  readonly version: number;
  readonly container: string;
  readonly source: string;
  readonly batch: string | null;
}

/** What is recorded besides releases, by kind. Bodies name things by id or path and never hold text. */
export interface EventBodies {
  /** A 401, 403 or any other answer that kept something back; the route is a pattern, without ids. */
  readonly 'request.refused': ByWhom & {
    readonly code: ErrorCode;
    readonly status: number;
    readonly route: string;
    /** How many requests this record stands for. */
    readonly count: number;
  };
  readonly 'signin.succeeded': ByWhom & { readonly issuer: string; readonly acr: string | null };
  readonly 'signin.failed': ByWhom & {
    readonly issuer: string | null;
    readonly code: ErrorCode;
    /** How many failures this record stands for. */
    readonly count: number;
  };
  readonly 'signin.ended': ByWhom & { readonly issuer: string };
  /** An identity provider said that somebody has signed out there; the session is its own name for it. */
  readonly 'signin.ended_by_provider': ByWhom & {
    readonly issuer: string;
    readonly session: string | null;
    /** Of this service's pages. */
    readonly sessions: number;
  };
  /** Somebody was told that a stronger sign-in would show them a document. */
  readonly 'stepup.challenged': ByWhom & {
    readonly document: string;
    readonly acr: readonly string[] | null;
    readonly maxAgeSeconds: number | null;
  };
  readonly 'entry.added': EntryChange;
  readonly 'entry.removed': EntryChange;
  readonly 'label.changed': LabelChange;
  readonly 'clearance.added': ClearanceChange;
  readonly 'clearance.removed': ClearanceChange;
  readonly 'membership.added': MembershipChange;
  readonly 'membership.removed': MembershipChange;
  readonly 'right.added': RightChange;
  readonly 'right.removed': RightChange;
  readonly 'ceiling.set': CeilingChange;
  readonly 'ceiling.removed': ByWhom & { readonly principal: string };
  readonly 'container.created': ByWhom & {
    readonly container: string;
    readonly inherits: boolean;
    readonly level: string | null;
    readonly compartments: readonly string[];
  };
  /** With everything below it; paths of the container itself. */
  readonly 'container.moved': ByWhom & { readonly from: string; readonly to: string };
  readonly 'account.changed': ByWhom & {
    readonly principal: string;
    readonly status: 'active' | 'disabled';
    readonly before: 'active' | 'disabled';
  };
  /** Nothing of it is accepted any more; of users and clients, nothing that was issued until then. */
  readonly 'credential.revoked': ByWhom & {
    readonly credential: 'user' | 'session' | 'client' | 'key';
    /** `<issuer>|<id>` */
    readonly id: string;
    readonly reason: string;
    readonly issuedUntil: number | null;
    /** The issuer that said so by itself; null where a person did. */
    readonly transmitter: string | null;
  };
  /** An identity provider said something by itself; what came of it has records of its own. */
  readonly 'signal.received': SignalReceived;
  /** Its stream stopped: what becomes of sessions and accounts there is not told here any more. */
  readonly 'alert.signals_stopped': SignalReceived;
  /** Not taken, and the transmitter was told so. */
  readonly 'signal.refused': ByWhom & {
    /** As the event named itself a part of its stream; not proven. */
    readonly transmitter: string;
    readonly code: string;
    /** How many this record stands for. */
    readonly count: number;
  };
  /** One process was to forget the issuer's signing keys and fetch them anew. */
  readonly 'issuer.keys_reloaded': ByWhom & { readonly issuer: string };
  readonly 'account.created': ByWhom & { readonly principal: string; readonly source: string };
  readonly 'group.created': ByWhom & { readonly principal: string };
  /** Whoever made it has seen it, and can act as the service. */
  readonly 'api_key.created': ByWhom & {
    readonly key: string;
    readonly service: string;
    readonly rights: readonly string[];
    readonly limits: {
      readonly level: string;
      readonly compartments: readonly string[];
      readonly containers: readonly string[];
    } | null;
    readonly expiresAt: number;
  };
  readonly 'api_key.rotated': ByWhom & {
    readonly key: string;
    readonly replaces: string;
    readonly service: string;
    readonly expiresAt: number;
    readonly oldExpiresAt: number;
  };
  readonly 'api_key.revoked': ByWhom & { readonly key: string; readonly service: string };
  readonly 'inherits.changed': ByWhom & {
    readonly container: string;
    readonly inherits: boolean;
    readonly before: boolean;
  };
  readonly 'access.changed': ByWhom &
    DocumentAccess & {
      readonly container: string;
      readonly document: string;
      readonly before: DocumentAccess;
    };
  /** Somebody was told why a subject may or may not read a document. */
  readonly explained: ByWhom & {
    readonly document: string;
    readonly about: string;
    readonly aboutActor: string | null;
    readonly decision: 'allow' | 'deny' | 'stepUp';
  };
  /** An application was told what subjects may do: each decision, or what a search found. */
  readonly 'decisions.told': ByWhom & {
    readonly endpoint: 'evaluation' | 'search/subject' | 'search/resource' | 'search/action';
    readonly asked: readonly {
      readonly subject: string | null;
      readonly action: string | null;
      readonly resource: string | null;
      /** `null` of a search. */
      readonly decision: boolean | null;
    }[];
    /** What a search found, by id or name. */
    readonly found: readonly string[];
  };
  readonly 'change.refused': OwnGain & { readonly code: ErrorCode };
  readonly 'alert.separation_of_duties': OwnGain;
  /** An allowed change of entries, by which its maker came to read more. */
  readonly 'alert.own_reach': OwnGain;
  readonly 'directory.loaded': ByWhom & {
    readonly source: string;
    readonly accounts: number;
    readonly groups: number;
  };
  /** A source made, changed or ended an account of its own; `returned`: one that it, or an import, had before. */
  readonly 'directory.account': ByWhom & {
    readonly source: string;
    readonly principal: string;
    /** Of the SCIM resource. */
    readonly id: string;
    readonly change: 'created' | 'returned' | 'changed' | 'enabled' | 'disabled' | 'deleted';
  };
  readonly 'directory.group': ByWhom & {
    readonly source: string;
    readonly principal: string;
    readonly id: string;
    readonly change: 'created' | 'changed' | 'deleted';
  };
  /** At most five hundred of each in a record; one change may leave several. */
  readonly 'directory.members': ByWhom & {
    readonly source: string;
    readonly group: string;
    readonly added: readonly string[];
    readonly removed: readonly string[];
  };
  /** What an import did to accounts and groups, at most five hundred in a record. */
  readonly 'directory.principals': ByWhom & {
    readonly source: string;
    readonly change: 'created' | 'changed' | 'enabled' | 'disabled' | 'deleted';
    readonly principals: readonly string[];
  };
  /** A file of a source was imported: what it had, and how many accounts there were before. */
  readonly 'directory.imported': ByWhom & {
    readonly source: string;
    /** SHA-256 of the file, hex. */
    readonly file: string;
    readonly accounts: number;
    readonly groups: number;
    readonly held: number;
  };
  /** A subject that had been disabled or deleted is an account again, with the rights that name it itself. */
  readonly 'alert.account_returned': ByWhom & { readonly source: string; readonly principal: string };
  readonly 'levels.changed': ByWhom & { readonly levels: readonly string[] };
  readonly 'tenant.created': ByWhom & { readonly tenant: string; readonly administrator: string };
  readonly 'document.written': DocumentEvent & { readonly contentHash: string };
  readonly 'document.moved': DocumentEvent;
  readonly 'document.deleted': DocumentEvent;
  readonly 'document.quarantined': DocumentEvent & { readonly findings: readonly string[] };
  readonly 'document.approved': DocumentEvent;
  readonly 'batch.withdrawn': ByWhom & { readonly batch: string; readonly documents: number };
  /** A drop by a later enforcer with nothing moved: an earlier one let through what it should not have. */
  readonly 'alert.drift': ByWhom & {
    readonly enforcer: string;
    readonly document: string;
    readonly version: number;
    readonly class: number;
  };
  /** The database was put back to a backup: what was kept from its later time is void. */
  readonly 'database.restored': ByWhom & { readonly incarnation: string; readonly before: string };
  /** The records after `kept`, up to `lost` at least, were in a checkpoint and are in the database no longer. */
  readonly 'audit.loss_declared': ByWhom & {
    readonly writer: string;
    readonly kept: number;
    readonly lost: number;
  };
  /** The operator held the index against the database. */
  readonly 'index.checked': ByWhom & { readonly repaired: boolean; readonly differences: number };
  /** Every passage was embedded with another model, of which the index then was. */
  readonly 'index.reembedded': ByWhom & { readonly fingerprint: string; readonly passages: number };
  /** Documents that the index had given up are tried again. */
  readonly 'index.retried': ByWhom & { readonly documents: number };
  /** Of all tenants; it is recorded with the tenant of whoever asked for it. */
  readonly 'index.rebuilt': ByWhom & { readonly passages: number };
  /** Data keys of the tenant: wrapped by another key, or sealing nothing more. */
  readonly 'encryption.rotated': ByWhom & {
    readonly wrappedWith: string;
    readonly rewrapped: number;
    readonly retired: number;
  };
  /** A stored ciphertext was changed, or moved to another row; it was withheld. */
  readonly 'alert.decryption_failed': ByWhom & {
    readonly document: string;
    readonly version: number;
    readonly ordinal: number;
  };
  readonly 'audit.queried': ByWhom & { readonly records: number };
  readonly 'audit.verified': ByWhom & { readonly records: number; readonly problems: number };
  readonly 'audit.exported': ByWhom & { readonly records: number };
}

export type EventKind = keyof EventBodies;
