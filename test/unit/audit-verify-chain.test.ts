import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Anchor, type AuditRecord, verifyChain } from '../../src/audit/verify-chain.ts';
import { resealed, soundChain } from '../helpers/audit.ts';

const CHAIN = soundChain(8);

function at(seq: number): AuditRecord {
  const record = CHAIN[seq - 1];
  if (record === undefined) throw new Error(`no record ${seq}`);
  return record;
}

const checkpointAt = (seq: number): Anchor => ({ seq, hash: at(seq).hash, saidBy: 'the checkpoint' });

async function problems(records: readonly AuditRecord[], anchors: readonly Anchor[] = []) {
  const verdict = await verifyChain('w', records, anchors);
  return verdict.problems.map(({ seq, what }) => `${what} ${seq}`);
}

const replace = (seq: number, record: AuditRecord) => CHAIN.map((old) => (old.seq === seq ? record : old));

describe('a chain', () => {
  it('that nobody touched has no problems', async () => {
    const verdict = await verifyChain('w', CHAIN, [checkpointAt(3), checkpointAt(8)]);
    expect(verdict).toEqual({ records: 8, problems: [], firstAt: 1001 });
  });

  it.each([
    ['body', { body: '{"n":0}' }],
    ['instant', { at: 7 }],
    ['kind', { kind: 'entry.added' }],
    ['id', { id: 'another' }],
    ['link', { prevHash: 'f'.repeat(64) }],
  ])('with another %s in one record is changed there', async (_, change) => {
    expect(await problems(replace(4, { ...at(4), ...change }))).toEqual(['changed 4']);
  });

  it('with a record whose hash was recomputed is changed there, since the next was not written after it', async () => {
    expect(await problems(replace(4, resealed({ ...at(4), body: '{}' })))).toEqual(['changed 4']);
  });

  it('whose first record does not begin a chain is changed there', async () => {
    const [first] = soundChain(1);
    const forged = first && resealed({ ...first, prevHash: 'f'.repeat(64) });
    expect(await problems(forged === undefined ? [] : [forged])).toEqual(['changed 1']);
  });

  it('without some of its records misses them', async () => {
    const left = CHAIN.filter(({ seq }) => seq !== 4 && seq !== 5);
    expect(await problems(left)).toEqual(['missing 4']);
    expect(await problems(CHAIN.slice(2))).toEqual(['missing 1']);
  });

  it('with two records in each other’s place is reordered at both', async () => {
    const swapped = CHAIN.map((record) => {
      if (record.seq === 3) return { ...at(6), seq: 3 };
      if (record.seq === 6) return { ...at(3), seq: 6 };
      return record;
    });
    expect(await problems(swapped)).toEqual(['reordered 3', 'reordered 6']);
  });

  it('with a record removed and the others moved up is reordered from there on', async () => {
    const closed = CHAIN.filter(({ seq }) => seq !== 6).map((record, i) => ({ ...record, seq: i + 1 }));
    expect(await problems(closed)).toEqual(['reordered 6', 'reordered 7']);
  });

  it('read out of order or with a record twice is reordered', async () => {
    expect(await problems([at(1), at(3), at(2)])).toContain('reordered 2');
    expect(await problems([at(1), at(2), at(2)])).toContain('reordered 2');
  });

  it('without its end is cut off, if a checkpoint knows of more', async () => {
    expect(await problems(CHAIN.slice(0, 5), [checkpointAt(3)])).toEqual([]);
    expect(await problems(CHAIN.slice(0, 5), [checkpointAt(3), checkpointAt(7)])).toEqual(['cut-off 6']);
    expect(await problems([], [checkpointAt(7)])).toEqual(['cut-off 1']);
  });

  it('rewritten from one record on, every hash recomputed, does not match the checkpoints after it', async () => {
    let prevHash = at(3).hash;
    const rewritten = CHAIN.map((record) => {
      if (record.seq <= 3) return record;
      const forged = resealed({ ...record, body: '{"forged":true}', prevHash });
      prevHash = forged.hash;
      return forged;
    });
    expect(await problems(rewritten)).toEqual([]);
    expect(await problems(rewritten, [checkpointAt(3), checkpointAt(5), checkpointAt(8)])).toEqual([
      'checkpoint-mismatch 5',
      'checkpoint-mismatch 8',
    ]);
  });

  it('that is broken all over is not read to its end', async () => {
    const broken = soundChain(3000).map((record) => ({ ...record, body: 'x', hash: 'f'.repeat(64) }));
    const verdict = await verifyChain('w', broken, []);
    expect(verdict.records).toBe(1000);
    expect(verdict.problems.at(-1)?.detail).toMatch(/not read further/);
  });

  it('with any one change to any one record has a problem', async () => {
    const field = fc.constantFrom('body', 'kind', 'id', 'prevHash', 'hash', 'at', 'seq');
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        field,
        fc.integer({ min: 1, max: 9 }),
        async (seq, name, by) => {
          const old = at(seq);
          const value = old[name as keyof AuditRecord];
          const changed =
            typeof value === 'number'
              ? value + by
              : value.replace(/^./, (c) => (c === `${by}` ? '0' : `${by}`));
          const records = replace(seq, { ...old, [name]: changed });
          expect(await problems(records, [checkpointAt(8)])).not.toEqual([]);
        },
      ),
    );
  });
});
