import type { EntityKind } from '../guard/entities.ts';
import { type Redaction, redact } from '../guard/output-redactor.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { Label, LabelScheme } from '../policy/label.ts';
import type { StoredPassage } from '../store/passages.ts';

/** A passage as its caller sees it: every string has passed the redactor. Offsets refer to the redacted text. */
export interface PassageView {
  readonly document_id: string;
  readonly version: number;
  readonly passage: number;
  readonly title: string;
  readonly heading_path: readonly string[];
  readonly text: string;
  readonly label: LabelView;
  readonly container: string;
  readonly source: string;
  readonly external_id: string;
  readonly media_type: string;
  readonly content_date: string | null;
  readonly updated_at: string;
  readonly redacted: readonly EntityKind[];
  readonly redactions: readonly { readonly kind: EntityKind; readonly start: number; readonly end: number }[];
}

export interface LabelView {
  readonly level: string;
  readonly compartments: readonly string[];
}

function labelView(scheme: LabelScheme, label: Label): LabelView {
  const level = scheme.levels[label.rank]?.name ?? 'unknown';
  return { level, compartments: [...label.compartments].sort() };
}

/**
 * Redacts a passage by the policy of its label.
 * @throws BulkheadError `redaction_failed`; nothing of the answer is then released
 */
export function present(
  scheme: LabelScheme,
  policy: RedactionPolicy,
  passage: StoredPassage,
  label: Label,
): PassageView {
  const kinds = policy.shownWithout(label.rank);
  const seen: Redaction[] = [];
  const clean = (text: string) => {
    const redaction = redact(text, kinds);
    seen.push(redaction);
    return redaction.text;
  };
  const body = redact(passage.text, kinds);
  seen.push(body);
  return {
    document_id: passage.document,
    version: passage.version,
    passage: passage.ordinal,
    title: clean(passage.title),
    heading_path: passage.headingPath.map(clean),
    text: body.text,
    label: labelView(scheme, label),
    container: clean(passage.container),
    source: clean(passage.source),
    external_id: clean(passage.externalId),
    media_type: clean(passage.mediaType),
    content_date: passage.contentDate === undefined ? null : new Date(passage.contentDate).toISOString(),
    updated_at: new Date(passage.updatedAt).toISOString(),
    redactions: body.spans,
    redacted: [...new Set(seen.flatMap((redaction) => redaction.kinds))].sort(),
  };
}
