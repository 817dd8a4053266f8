/** The API's answers, as its description has them. */
import type { z } from 'zod';
import type {
  answerView,
  auditRecordsView,
  auditVerdictView,
  batchResultView,
  containerView,
  explanationView,
  pendingView,
} from '../http/schemas.ts';

export type AnswerBody = z.infer<typeof answerView>;
export type ExplanationBody = z.infer<typeof explanationView>;
export type AuditRecordsBody = z.infer<typeof auditRecordsView>;
export type AuditVerdictBody = z.infer<typeof auditVerdictView>;
export type BatchResultBody = z.infer<typeof batchResultView>;
export type PendingBody = z.infer<typeof pendingView>;
export type ContainerBody = z.infer<typeof containerView>;
