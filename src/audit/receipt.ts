import { createHmac } from 'node:crypto';
import type { ChunkId, ClassId, DocumentId, Instant } from '../policy/ids.ts';
import type { PolicyEpoch, Revocable } from '../store/authority.ts';

/** What text or metadata was released for. */
export type ReceiptPurpose = 'retrieve' | 'read' | 'list' | 'answer' | 'explain';

/** Bytes from a cryptographic source, as many as asked for. */
export type Random = (size: number) => Uint8Array;

/** One released passage, by reference: the log never holds text. */
interface ReceiptPassage {
  readonly document: DocumentId;
  readonly version: number;
  readonly chunk: ChunkId;
  readonly class: ClassId;
  /** Position in the answer, from 1. */
  readonly rank: number;
  readonly decision: 'allow';
  /** Kinds of entities that were masked. */
  readonly redacted: readonly string[];
}

/** The highest level the session was strong enough for, and the acting service's limit, by name. */
interface ReceiptCeiling {
  readonly level: string | null;
  readonly actor: { readonly level: string; readonly compartments: readonly string[] } | null;
}

/** The record of one release. A change of its fields raises `v`. */
export interface ReceiptBody {
  readonly v: 1;
  readonly request: string;
  readonly subject: string;
  readonly actor: string | null;
  readonly purpose: ReceiptPurpose;
  /** `questionDigest` of what was asked; null where nothing was. */
  readonly question: string | null;
  /** As asked; plain values only. */
  readonly filters: object;
  readonly ceiling: ReceiptCeiling;
  readonly policy: PolicyEpoch;
  /** Of the embedding model; null where none was used. */
  readonly model: string | null;
  /** The request's one clock. */
  readonly now: Instant;
  readonly passages: readonly ReceiptPassage[];
}

/** What must still stand when the receipt is written. */
export interface ReleaseGuard extends PolicyEpoch {
  readonly documents: readonly (readonly [id: string, classId: number, version: number])[];
  /** What the caller's credentials can be revoked by; none of it is, when the receipt is written. */
  readonly revocable: readonly Revocable[];
}

/** 128 random bits, base64url. It says nothing about what was released, nor how much else was. */
export function newReceiptId(random: Random): string {
  return Buffer.from(random(16)).toString('base64url');
}

/**
 * HMAC-SHA-256 of the question, hex. Questions come from a small space, so a plain hash could be guessed at; with
 * the key, an auditor can still tell whether a known question was asked.
 */
export function questionDigest(key: Uint8Array, question: string): string {
  return createHmac('sha256', key).update(question, 'utf8').digest('hex');
}
