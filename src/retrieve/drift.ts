import type { Hit } from '../index/vector-index.ts';
import type { Database } from '../store/database.ts';
import { probeDocuments } from '../store/drift-probe.ts';
import type { Judgement } from './judge.ts';
import type { Authorized } from './stages.ts';

/** A passage that one enforcer let through and a later one refused, though nothing had changed. */
export interface Drift {
  readonly enforcer: 'row-level-security' | 'decide';
  readonly tenant: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
}

export interface DriftWatch {
  /** Looks at the drops of one query after the fact; never delays or changes the answer. */
  watch(authorized: Authorized, judgement: Judgement): void;
  /** Resolves when every drop so far has been looked at. */
  settled(): Promise<void>;
}

export interface DriftAlarms {
  /** Enforcers disagree: somebody must look at this now. */
  drift(drift: Drift): Promise<void>;
  /** The index was behind the database: expected, counted. */
  lag(passages: number): void;
  /** The look itself failed; the drops stay unexplained. */
  failed(error: unknown): void;
}

/** A change this little before the question may have been committed after it. */
const COMMIT_MS = 5_000;

/**
 * A drop is lag when the epoch moved, or the document has another class or version or was published or moved since
 * the question came; else it is drift.
 */
export function createDriftWatch(database: Database, alarms: DriftAlarms): DriftWatch {
  let pending: Promise<void> = Promise.resolve();
  return {
    watch(authorized, judgement) {
      if (judgement.missing.length + judgement.refused.length === 0) return;
      pending = pending
        .then(() => examine(database, alarms, authorized, judgement))
        .catch((error: unknown) => alarms.failed(error));
    },
    settled: () => pending,
  };
}

async function examine(
  database: Database,
  alarms: DriftAlarms,
  { authority }: Authorized,
  { missing, refused }: Judgement,
): Promise<void> {
  const dropped = [...missing, ...refused];
  const probe = await probeDocuments(
    database,
    authority.context,
    dropped.map((hit) => hit.documentId),
  );
  const { epoch } = authority;
  const samePolicy = probe.epoch.counter === epoch.counter && probe.epoch.incarnation === epoch.incarnation;
  const unchanged = (hit: Hit) => {
    const now = probe.documents.get(hit.documentId);
    if (!samePolicy || now === undefined || now.changedAt > authority.now - COMMIT_MS) return false;
    return now.class === hit.classId && now.version === hit.version;
  };
  alarms.lag(dropped.filter((hit) => !unchanged(hit)).length);
  const report = (enforcer: Drift['enforcer']) => (hit: Hit) =>
    alarms.drift({
      enforcer,
      tenant: authority.subject.tenant,
      document: hit.documentId,
      version: hit.version,
      class: hit.classId,
    });
  await Promise.all([
    ...missing.filter(unchanged).map(report('row-level-security')),
    ...refused.filter(unchanged).map(report('decide')),
  ]);
}
