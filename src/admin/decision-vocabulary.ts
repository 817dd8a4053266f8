/** How applications name subjects, resources and actions (AuthZEN), and what they mean here. */
import { parsePrincipal } from '../policy/principal.ts';
import { RIGHTS, type Right } from '../store/rights.ts';

/** Reading, or a right that can be bound. */
export type Deed = 'read' | Right;

/** Words of other applications: for an action on one of their resources, a right on the container that stands for it. */
export interface Vocabulary {
  /** Whose people a bare id names. */
  readonly subjectIssuer?: string | undefined;
  readonly resources: Readonly<
    Record<
      string,
      { readonly actions: Readonly<Record<string, { readonly container: string; readonly right: Deed }>> }
    >
  >;
}

/** An entity of the outside world: its type, and its id within that. */
export interface Entity {
  readonly type: string;
  readonly id: string;
}

/** What a question is about, in our words. */
export type Target =
  | { readonly kind: 'document'; readonly document: string; readonly deed: 'read' }
  | { readonly kind: 'container'; readonly path: string; readonly deed: Deed };

/** The segment that stands for a resource's id. */
const ID = '{id}';

/** The principal in text form; `undefined` for what names nobody. */
export function principalOf({ subjectIssuer }: Vocabulary, { type, id }: Entity): string | undefined {
  if (!isSubjectType(type)) return undefined;
  const key = keyOf(subjectIssuer, type, id);
  return key !== undefined && parsePrincipal(key)?.kind === type ? key : undefined;
}

function keyOf(issuer: string | undefined, type: string, id: string): string | undefined {
  if (id.startsWith(`${type}:`)) return id;
  if (id.includes('|')) return `${type}:${id}`;
  return issuer === undefined ? undefined : `${type}:${issuer}|${id}`;
}

/** As the application would name it. */
export function subjectEntity({ subjectIssuer }: Vocabulary, principal: string): Entity | undefined {
  const parsed = parsePrincipal(principal);
  if (parsed === undefined || parsed.kind === 'everyone') return undefined;
  const { kind, issuer, id } = parsed;
  return { type: kind, id: issuer === subjectIssuer ? id : `${issuer}|${id}` };
}

export function isSubjectType(type: string): type is 'user' | 'service' {
  return type === 'user' || type === 'service';
}

/** `undefined` for an action or a type without a meaning here: nobody may do that. */
export function targetOf(vocabulary: Vocabulary, { type, id }: Entity, action: string): Target | undefined {
  if (type === 'document')
    return action === 'read' ? { kind: 'document', document: id, deed: 'read' } : undefined;
  const meaning = meaningOf(vocabulary, type, action);
  if (meaning === undefined) return undefined;
  // an id is one segment: it leads to no other container, above or below
  if (type !== 'container' && (id.includes('/') || id === '')) return undefined;
  return { kind: 'container', path: pathOf(meaning.container, id), deed: meaning.right };
}

/** What an action means on resources of a type that are containers. */
export function meaningOf(
  { resources }: Vocabulary,
  type: string,
  action: string,
): { readonly container: string; readonly right: Deed } | undefined {
  if (type === 'container') return isDeed(action) ? { container: ID, right: action } : undefined;
  const actions = own(resources, type)?.actions;
  return actions && own(actions, action);
}

/** The actions on resources of a type, in their order; none for an unknown one. */
export function actionsOn({ resources }: Vocabulary, type: string): readonly string[] {
  if (type === 'document') return ['read'];
  if (type === 'container') return ['read', ...RIGHTS];
  return Object.keys(own(resources, type)?.actions ?? {});
}

function pathOf(template: string, id: string): string {
  return template
    .split('/')
    .map((segment) => (segment === ID ? id : segment))
    .join('/');
}

/** The id of the resource that the container stands for; `undefined` for another container. */
export function idFrom(template: string, path: string): string | undefined {
  if (template === ID) return path;
  const segments = template.split('/');
  const given = path.split('/');
  const at = segments.indexOf(ID);
  const isOne =
    given.length === segments.length && segments.every((segment, i) => i === at || segment === given[i]);
  return isOne ? given[at] : undefined;
}

function isDeed(action: string): action is Deed {
  return action === 'read' || (RIGHTS as readonly string[]).includes(action);
}

/** Never what every object has from birth. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
