import { createHash } from 'node:crypto';

/** One row of the log, as it was read. Hashes are SHA-256, hex; `at` is milliseconds since 1970. */
export interface AuditRecord {
  readonly seq: number;
  readonly at: number;
  readonly kind: string;
  readonly id: string;
  readonly body: string;
  readonly prevHash: string;
  readonly hash: string;
}

/** A record that must be there with this hash, and who says so, for the detail of a problem. */
export interface Anchor {
  readonly seq: number;
  readonly hash: string;
  readonly saidBy: string;
}

export interface AuditProblem {
  readonly writer: string;
  readonly seq: number;
  readonly what:
    | 'changed'
    | 'missing'
    | 'reordered'
    | 'cut-off'
    | 'checkpoint-mismatch'
    | 'bad-signature'
    | 'checkpoints-missing'
    | 'bad-witness';
  readonly detail: string;
}

export interface ChainVerdict {
  readonly records: number;
  readonly problems: readonly AuditProblem[];
  /** When the first record was written; absent when there is none. */
  readonly firstAt: number | undefined;
}

const GENESIS = '0'.repeat(64);
/** How far from its place a record is looked for before it counts as changed. */
const MOVE_DISTANCE = 100;
/** A chain that is this broken is not read further. */
const MAX_PROBLEMS = 1000;

/**
 * Recomputes a chain from its beginning and holds it against the anchors.
 * @param records in the order of `seq`, as they were read
 */
export async function verifyChain(
  writer: string,
  records: Iterable<AuditRecord> | AsyncIterable<AuditRecord>,
  anchors: readonly Anchor[],
): Promise<ChainVerdict> {
  const walk = new ChainWalk(writer, anchors);
  for await (const record of records) if (!walk.take(record)) return walk.stopped();
  return walk.ended();
}

/** What `append_audit` hashed, recomputed. */
function recordHash(record: AuditRecord, seq = record.seq): string {
  const { prevHash, at, kind, id, body } = record;
  return createHash('sha256')
    .update(Buffer.from(prevHash, 'hex'))
    .update(`${seq}\n${at}\n${kind}\n${id}\n${body}`, 'utf8')
    .digest('hex');
}

class ChainWalk {
  readonly #writer: string;
  readonly #anchors: readonly Anchor[];
  readonly #problems: AuditProblem[] = [];
  #nextAnchor = 0;
  #records = 0;
  #firstAt: number | undefined;
  #last = { seq: 0, hash: GENESIS, broken: false };

  constructor(writer: string, anchors: readonly Anchor[]) {
    this.#writer = writer;
    this.#anchors = anchors.toSorted((a, b) => a.seq - b.seq);
  }

  /** Returns whether to go on. */
  take(record: AuditRecord): boolean {
    const before = this.#problems.length;
    this.#firstAt ??= record.at;
    this.#records += 1;
    this.#checkPlace(record);
    this.#checkContent(record);
    this.#checkAnchors(record);
    const broken = this.#problems.length > before;
    this.#last = { seq: Math.max(record.seq, this.#last.seq), hash: record.hash, broken };
    return this.#problems.length < MAX_PROBLEMS;
  }

  ended(): ChainVerdict {
    const expected = this.#anchors.at(-1);
    if (expected !== undefined && expected.seq > this.#last.seq)
      this.#report(
        this.#last.seq + 1,
        'cut-off',
        `The chain ends at record ${this.#last.seq}; ${expected.saidBy} knows record ${expected.seq}.`,
      );
    return this.#verdict();
  }

  stopped(): ChainVerdict {
    this.#report(this.#last.seq, 'changed', `After ${MAX_PROBLEMS} problems the chain was not read further.`);
    return this.#verdict();
  }

  /** Follows the last record, with none between and none twice. */
  #checkPlace(record: AuditRecord): void {
    const expected = this.#last.seq + 1;
    if (record.seq < expected)
      this.#report(record.seq, 'reordered', `Record ${record.seq} comes after record ${this.#last.seq}.`);
    else if (record.seq > expected)
      this.#report(expected, 'missing', `Records ${expected} to ${record.seq - 1} are gone.`);
  }

  #checkContent(record: AuditRecord): void {
    if (recordHash(record) !== record.hash) {
      const writtenAs = originalSeq(record);
      if (writtenAs === undefined)
        this.#report(
          record.seq,
          'changed',
          `Record ${record.seq} does not have the content it was written with.`,
        );
      else this.#report(record.seq, 'reordered', `Record ${record.seq} was written as record ${writtenAs}.`);
    } else this.#checkLink(record);
  }

  /** A sound record behind another than it was written behind: that other one was replaced, hash and all. */
  #checkLink(record: AuditRecord): void {
    const { seq, hash, broken } = this.#last;
    if (record.seq !== seq + 1 || broken || record.prevHash === hash) return;
    this.#report(
      seq === 0 ? record.seq : seq,
      'changed',
      `Record ${record.seq} was not written after record ${seq} as it is now.`,
    );
  }

  /** The records of anchors that were passed over are among those reported missing. */
  #checkAnchors(record: AuditRecord): void {
    let denied: Anchor | undefined;
    for (;;) {
      const anchor = this.#anchors[this.#nextAnchor];
      if (anchor === undefined || anchor.seq > record.seq) break;
      this.#nextAnchor += 1;
      if (anchor.seq === record.seq && anchor.hash !== record.hash) denied ??= anchor;
    }
    if (denied === undefined) return;
    this.#report(
      record.seq,
      'checkpoint-mismatch',
      `Record ${record.seq} is not the one that ${denied.saidBy} knows.`,
    );
  }

  #report(seq: number, what: AuditProblem['what'], detail: string): void {
    this.#problems.push({ writer: this.#writer, seq, what, detail });
  }

  #verdict(): ChainVerdict {
    return { records: this.#records, problems: this.#problems, firstAt: this.#firstAt };
  }
}

/** The nearest place at which the record's hash is right. */
function originalSeq(record: AuditRecord): number | undefined {
  for (let distance = 1; distance <= MOVE_DISTANCE; distance += 1)
    for (const seq of [record.seq - distance, record.seq + distance])
      if (seq > 0 && recordHash(record, seq) === record.hash) return seq;
  return undefined;
}
