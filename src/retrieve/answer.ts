import { questionDigest, type ReceiptBody, type ReceiptPurpose } from '../audit/receipt.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { LabelScheme } from '../policy/label.ts';
import { classesIn } from '../policy/visibility-filter.ts';
import type { Authority } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { ReadableDocuments } from '../store/passages.ts';
import { documentFilter } from './1-authorize.ts';
import type { GuardedDocument } from './6-release.ts';
import { type Freshness, freshness, type IndexLag } from './freshness.ts';
import type { Judgement } from './judge.ts';
import { type LabelView, type PassageView, present } from './present.ts';
import type { Authorized, RetrieveRequest } from './stages.ts';

export interface Answer {
  readonly request_id: string;
  readonly passages: readonly (PassageView & {
    readonly rank: number;
    /** 0–1 in steps of 0.05: enough to see a weak answer, too coarse to compare corpora. */
    readonly score: number;
  })[];
  /** False exactly when fewer passages than asked for, and than are visible, could be returned. */
  readonly complete: boolean;
  /** The highest level this session is strong enough for, and the acting service's limit. */
  readonly ceiling: { readonly level: string | null; readonly actor: LabelView | null };
  /** The sign-in that would show more of what the caller may read; the same whatever is asked. `null` = none would. */
  readonly step_up: { readonly acr_values: string[] | null; readonly max_age: number | null } | null;
  readonly freshness: Freshness;
}

interface AnswerParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly redaction: RedactionPolicy;
  readonly indexLag: () => IndexLag;
}

export async function composeAnswer(
  parts: AnswerParts,
  authorized: Authorized,
  request: RetrieveRequest,
  { passages }: Judgement,
): Promise<Answer> {
  const { authority, visible } = authorized;
  return {
    request_id: request.requestId,
    passages: passages.map(({ passage, label, score }, i) => ({
      ...present(parts.scheme, parts.redaction, passage, label),
      rank: i + 1,
      score: coarse(score),
    })),
    complete: await isComplete(parts.database, authorized, request, passages.length),
    ceiling: ceilingView(parts.scheme, authority),
    step_up: stepUpView(authorized.stepUp),
    freshness: freshness(authority, visible, parts.indexLag()),
  };
}

function coarse(score: number): number {
  return Math.round(Math.min(1, Math.max(0, score)) * 20) / 20;
}

/** Visible chunks are counted only when there are fewer passages than asked for, and no further than the limit. */
async function isComplete(
  database: Database,
  { authority, searched }: Authorized,
  request: RetrieveRequest,
  returned: number,
): Promise<boolean> {
  if (returned >= request.limit || searched.kind === 'nothing') return true;
  const visible = await ReadableDocuments.as(database, authority.context).countChunks(
    { ...documentFilter(request.filters), classes: classesIn(searched) },
    request.limit,
  );
  return returned >= visible;
}

function stepUpView(need: Authorized['stepUp']): Answer['step_up'] {
  if (need === null) return null;
  return {
    acr_values: need.acr === undefined ? null : [...need.acr],
    max_age: need.maxAuthAgeSeconds ?? null,
  };
}

function ceilingView(scheme: LabelScheme, authority: Authority): Answer['ceiling'] {
  const actor = authority.subject.actor?.ceiling;
  return {
    level: scheme.levels[authority.context.maxRank]?.name ?? null,
    actor:
      actor === undefined
        ? null
        : {
            level: scheme.levels[actor.rank]?.name ?? 'unknown',
            compartments: [...actor.compartments].sort(),
          },
  };
}

export interface ReceiptParts {
  readonly scheme: LabelScheme;
  readonly questionKey: Uint8Array;
  readonly embedder: { readonly fingerprint: string };
}

/** What was decided and shown, without a word of text. */
export function receiptOf(
  parts: ReceiptParts,
  { authority }: Authorized,
  request: RetrieveRequest,
  judgement: Judgement,
  answer: Answer,
): ReceiptBody {
  return {
    ...receiptHead(parts.scheme, authority, request.requestId, 'retrieve'),
    question: questionDigest(parts.questionKey, request.query),
    filters: { ...request.filters, limit: request.limit },
    model: parts.embedder.fingerprint,
    passages: judgement.passages.map(({ passage }, i) => ({
      document: passage.document,
      version: passage.version,
      chunk: passage.chunk,
      class: passage.class,
      rank: i + 1,
      decision: 'allow',
      redacted: answer.passages[i]?.redacted ?? [],
    })),
  };
}

/** The part that every receipt has: who, when, under which policy. */
export function receiptHead(
  scheme: LabelScheme,
  authority: Authority,
  requestId: string,
  purpose: ReceiptPurpose,
): Omit<ReceiptBody, 'question' | 'filters' | 'model' | 'passages'> {
  return {
    v: 1,
    request: requestId,
    subject: authority.subject.user.name,
    actor: authority.subject.actor?.name ?? null,
    purpose,
    ceiling: ceilingView(scheme, authority),
    policy: authority.epoch,
    now: authority.now,
  };
}

export function guardedDocuments({ passages }: Judgement): readonly GuardedDocument[] {
  return passages.map(({ passage }) => ({
    document: passage.document,
    class: passage.class,
    version: passage.version,
  }));
}
