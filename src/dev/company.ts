import { join, resolve } from 'node:path';

/** The demo company: its directory, its documents and its levels. */
export const COMPANY = resolve(import.meta.dirname, '../../fixtures/company');
export const DEMO_DIRECTORY = join(COMPANY, 'directory.yaml');
