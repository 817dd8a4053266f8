import { table } from '../table.ts';
import type { Revocation } from './revocation.ts';
import { atMost, type Verdict } from './verdict.ts';

export function revocationText(one: Revocation): string {
  const rows = Object.entries(one.rows).map(([name, n]) => `${name} ${n}`);
  return `Container of ${one.chunks} chunks in ${one.classes} classes, revoked while two replicas answered its reader.

${table(
  ['', 'ms'],
  [
    ['whole operation, with its checks before the lock', one.operationMs.toFixed(2)],
    ['its transaction, separation of duties and audit included', one.transactionMs.toFixed(2)],
    ['the row alone, deleted and committed by hand', one.bareMs.toFixed(2)],
    ['first answer afterwards (visible sets computed again)', one.firstAnswerMs.toFixed(1)],
  ],
)}

Rows written while it happened, answers' receipts included: ${rows.join(', ') || 'none'}. Writes seen by the index: ${one.vectorsWritten}.
Answers begun after the commit: ${one.answersAfter}; those with a passage of the container: ${one.answersThatLeaked}.

What else changes all of it, a move of the whole subtree included:

${table(
  ['change', 'whole operation ms', 'rows written'],
  one.others.map(({ change, ms, rows: n }) => [change, ms.toFixed(1), String(n)]),
)}`;
}

export function revocationVerdicts(one: Revocation): readonly Verdict[] {
  return [
    atMost('revocation: entries changed', one.rows.entry ?? Number.NaN, 1),
    atMost('revocation: transaction', one.transactionMs, 5, ' ms'),
    atMost('revocation: vectors written', one.vectorsWritten, 0),
    atMost('revocation: answers after it with a passage', one.answersThatLeaked, 0),
  ];
}
