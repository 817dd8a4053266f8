/** A company in which containers are made, given rights on, and moved. */
import { createContainer } from '../../src/admin/containers.ts';
import { moveContainer } from '../../src/admin/move-container.ts';
import { Directory } from '../../src/store/directory.ts';
import type { Company } from './company.ts';
import { asSuperuser } from './policy-tables.ts';

/** @param firm the company of the test that runs */
export function movingIn(firm: () => Company) {
  const root = () => firm().caller('root');
  const rows = <T>(statement: string) => asSuperuser<T>(firm().database, statement);
  return {
    root,
    maria: () => firm().caller('maria'),
    move: (container: string, to: string, caller = root()) =>
      moveContainer(firm().parts, caller, { container, to }),
    make: (path: string, more: Partial<Parameters<typeof createContainer>[2]> = {}) =>
      createContainer(firm().parts, root(), {
        path,
        label: { level: null, compartments: [] },
        inherits: true,
        entries: [],
        ...more,
      }),
    bind: (principal: string, container: string, rights: readonly string[]) =>
      Directory.as(firm().database, firm().admin.context).bindRight(
        rights.map((right) => ({ principal, container, right })),
      ),
    rows,
    parentsByPath: async () =>
      new Map(
        (
          await rows<{ path: string; parent: string }>(
            'select c.path, p.path as parent from access_class c join access_class p on p.id = c.parent_id',
          )
        ).map(({ path, parent }) => [path, parent]),
      ),
  };
}
