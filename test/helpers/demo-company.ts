import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Core, now, openCore } from '../../src/assembly/core.ts';
import { DEMO_TENANT } from '../../src/assembly/open-identity.ts';
import { openStore } from '../../src/assembly/open-store.ts';
import { loadConfig } from '../../src/config/config.ts';
import { loadDemo } from '../../src/dev/demo.ts';
import type { IngestResult } from '../../src/ingest/submission.ts';
import type { AccessClass } from '../../src/policy/access-class.ts';
import {
  type ClassId,
  classId,
  documentId,
  type Instant,
  instant,
  principalId,
} from '../../src/policy/ids.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { asSuperuser } from './policy-tables.ts';

/** One document of the demo company, by the name that the specification gives it. */
interface DemoDocument {
  readonly id: string;
  readonly class: ClassId;
}

/** The demo company in a data folder of its own, loaded through the real pipeline and model. */
export interface DemoCompany {
  readonly core: Core;
  readonly tenant: string;
  /** By external id: the path below `documents/`, and `path#id` for a row. */
  readonly documents: ReadonlyMap<string, DemoDocument>;
  /** External ids of documents; one that the company does not have is shown as it is. */
  readonly named: (ids: Iterable<string>) => readonly string[];
  /** Every class with every entry, as the database has them: no policy stands between. */
  readonly classes: ReadonlyMap<ClassId, AccessClass>;
  /** Sets the one clock. */
  readonly setClock: (at: Instant) => Promise<void>;
  readonly problems: readonly IngestResult[];
  readonly alarms: readonly string[];
  close(): Promise<void>;
}

export async function openDemoCompany(): Promise<DemoCompany> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-company-'));
  const config = loadConfig({ BULKHEAD_DATA: folder });
  const alarms: string[] = [];
  const log = createLog({ level: 'warn', destination: { write: (line) => void alarms.push(line) } });
  const store = await openStore(config);
  const core = await openCore(config, store.database, log);
  let problems: readonly IngestResult[] = [];
  await loadDemo(core.ingest, {
    tenant: DEMO_TENANT,
    folder,
    now: now(),
    onProgress: ({ failed }) => {
      problems = failed;
    },
  });
  const documents = await readDocuments(core);
  const names = new Map([...documents].map(([name, { id }]) => [id, name]));
  return {
    core,
    tenant: DEMO_TENANT,
    documents,
    named: (ids) => [...new Set([...ids].map((id) => names.get(id) ?? id))].sort(),
    classes: await readClasses(core),
    setClock: async (at) => {
      const fixed = `timestamptz '${new Date(at).toISOString()}'`;
      await asSuperuser(
        store.database,
        `create or replace function bulkhead.clock() returns timestamptz language sql stable as $$ select ${fixed} $$`,
      );
    },
    problems,
    alarms,
    close: async () => {
      await core.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function readDocuments({ database }: Core): Promise<Map<string, DemoDocument>> {
  const rows = await asSuperuser<{ id: string; external_id: string; class_id: number }>(
    database,
    'select id, external_id, class_id from document where version > 0',
  );
  return new Map(
    rows.map(({ id, external_id, class_id }) => [
      external_id,
      { id: documentId(id), class: classId(class_id) },
    ]),
  );
}

async function readClasses({ database }: Core): Promise<Map<ClassId, AccessClass>> {
  const classes = await asSuperuser<{
    id: number;
    parent_id: number | null;
    inherits: boolean;
    rank: number | null;
    compartments: string[];
  }>(database, 'select id, parent_id, inherits, rank, compartments from access_class');
  const entries = await asSuperuser<{
    class_id: number;
    principal_id: number;
    effect: 'allow' | 'deny';
    from: number | null;
    until: number | null;
  }>(
    database,
    'select class_id, principal_id, effect, ms(valid_from) as from, ms(valid_until) as until from entry',
  );
  return new Map(
    classes.map((cls) => [
      classId(cls.id),
      {
        id: classId(cls.id),
        parent: cls.parent_id === null ? undefined : classId(cls.parent_id),
        inherits: cls.inherits,
        label: { rank: cls.rank ?? undefined, compartments: new Set(cls.compartments) },
        entries: entries
          .filter((entry) => entry.class_id === cls.id)
          .map((entry) => ({
            principal: principalId(entry.principal_id),
            effect: entry.effect,
            validFrom: entry.from === null ? undefined : instant(entry.from),
            validUntil: entry.until === null ? undefined : instant(entry.until),
          })),
      },
    ]),
  );
}
