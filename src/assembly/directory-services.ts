import { randomUUID } from 'node:crypto';
import { importDirectory } from '../directory/import/import-directory.ts';
import { scimService } from '../directory/scim/service.ts';
import { Serial } from '../directory/serial.ts';
import { directoryStatus } from '../directory/status.ts';
import type { Services } from '../http/services.ts';
import type { Parts } from './core.ts';

/** What keeps the directory, where this process changes policy. */
export function directoryServices({ admin, config }: Parts): Pick<Services, 'scim' | 'directory'> {
  if (admin === undefined) return {};
  const bindings = config.directory.scim;
  return {
    scim: scimService({ ...admin, bindings, serial: new Serial(), newId: randomUUID }),
    directory: {
      import: (caller, request) => importDirectory({ ...admin, provisioned: bindings }, caller, request),
      status: (caller) => directoryStatus(admin, caller),
    },
  };
}
