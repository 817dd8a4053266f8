/** Makes the containers that a source defines. Those that are there are left as they are: changing them is admin's. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import type { PrincipalId } from '../policy/ids.ts';
import { accessKey, classesAbove, type OwnAccess } from '../store/access-classes.ts';
import { type ContainerRow, Containers } from '../store/containers.ts';
import type { Work } from '../store/database.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { requireCredentials } from '../store/revocations.ts';
import { lockPolicy, rightsOn } from '../store/rights.ts';
import { label } from './4-label.ts';
import { byWhom } from './7-write.ts';
import type { ContainerDefinition } from './sources/folder.ts';
import { failed, type IngestParts, type IngestResult, type Submitter } from './submission.ts';

export interface EnsuredContainers {
  readonly created: readonly string[];
  /** There already, and not as defined. */
  readonly differing: readonly string[];
  /** Not made, with the reason; neither are those below them. */
  readonly failed: readonly IngestResult[];
}

interface Run {
  readonly trx: Work;
  readonly submitter: Submitter;
  readonly scheme: IngestParts['scheme'];
  readonly principals: ReadonlyMap<string, PrincipalId>;
  readonly events: AuditEvent[];
}

/**
 * Makes what is missing, in one transaction with its audit events. Needs `administer` on the parent; without it a
 * container that is missing and one that is hidden end alike, as `unknown_container`.
 * @param definitions parents before children
 */
export async function ensureContainers(
  parts: Pick<IngestParts, 'database' | 'scheme' | 'audit'>,
  submitter: Submitter,
  definitions: readonly ContainerDefinition[],
): Promise<EnsuredContainers> {
  const { database, scheme, audit } = parts;
  const { context } = submitter.authority;
  const named = definitions.flatMap(({ access }) =>
    (access?.entries ?? []).map(({ principal }) => principal),
  );
  const principals = await ManagedDocuments.as(database, context).principals(named);
  const ensured = await database.unitOfWork('admin', context, async (trx) => {
    await lockPolicy(trx);
    await requireCredentials(trx, submitter.authority);
    const run: Run = { trx, submitter, scheme, principals, events: [] };
    const outcome = await ensureAll(run, definitions);
    if (run.events.length > 0) await audit.appendWithin(trx, run.events);
    return outcome;
  });
  await database.flush();
  return ensured;
}

async function ensureAll(run: Run, definitions: readonly ContainerDefinition[]): Promise<EnsuredContainers> {
  const ensured = { created: [] as string[], differing: [] as string[], failed: [] as IngestResult[] };
  for (const definition of definitions) {
    try {
      const existing = await findManaged(run, definition.path);
      if (existing === undefined) await create(run, definition);
      else if (!(await isAsDefined(run, existing, definition))) ensured.differing.push(definition.path);
      if (existing === undefined) ensured.created.push(definition.path);
    } catch (error) {
      if (!(error instanceof BulkheadError)) throw error;
      ensured.failed.push(failed({ externalId: definition.path }, error));
    }
  }
  return ensured;
}

/** @throws BulkheadError `unknown_container` for one in which the submitter may do nothing */
async function findManaged({ trx }: Run, path: string): Promise<ContainerRow | undefined> {
  const existing = await Containers.within(trx).find(path);
  if (existing !== undefined && (await rightsOn(trx, existing.id)).size === 0) throw unknownContainer();
  return existing;
}

async function create(run: Run, { path, access }: ContainerDefinition): Promise<void> {
  const { trx, submitter } = run;
  const containers = Containers.within(trx);
  const parent = await containers.find(parentOf(path));
  if (parent === undefined || !(await rightsOn(trx, parent.id)).has('administer')) throw unknownContainer();
  const own = ownAccess(run, access);
  await containers.create(parent.id, { path, ...own });
  const { tenant } = submitter.authority.subject;
  const by = byWhom(submitter);
  const { inherits, level, compartments } = own;
  run.events.push({
    tenant,
    kind: 'container.created',
    body: { ...by, container: path, inherits, level, compartments },
  });
  for (const { principal, effect, validFrom, validUntil } of access?.entries ?? [])
    run.events.push({
      tenant,
      kind: 'entry.added',
      body: {
        ...by,
        container: path,
        document: null,
        principal,
        effect,
        from: validFrom ?? null,
        until: validUntil ?? null,
      },
    });
}

async function isAsDefined(
  run: Run,
  existing: ContainerRow,
  { access }: ContainerDefinition,
): Promise<boolean> {
  if (access === undefined) return true;
  const present = (await classesAbove(run.trx, existing.id)).get(existing.id);
  if (present === undefined) return false;
  const { level, inherits, entries } = present;
  const own: OwnAccess = { level, inherits, entries, compartments: existing.compartments };
  return accessKey(own) === accessKey(ownAccess(run, access));
}

/** The rules of a document's fields hold for a container's too: known names only, and joined in one way. */
function ownAccess({ scheme, principals, submitter }: Run, access: ContainerDefinition['access']): OwnAccess {
  const fields = access === undefined ? [] : [access];
  const anyLabel = { label: { rank: 0, compartments: new Set<string>() }, mayLabel: true, mayGrant: true };
  const request = { container: anyLabel, present: undefined, fields, scheme, principals };
  return label({ ...request, submitter: submitter.authority.subject.user.principal }).own;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

function unknownContainer(): BulkheadError {
  return new BulkheadError('unknown_container', 'There is no such container, or not for you.');
}
