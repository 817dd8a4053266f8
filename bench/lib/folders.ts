import { join, resolve } from 'node:path';

export const PROJECT = resolve(import.meta.dirname, '../..');
export const CACHE = join(PROJECT, '.cache');
export const VECTORS_FOLDER = join(CACHE, 'bench-vectors');
