/** One Postgres role for each process role; a unit of work runs as exactly one of them. */
export const PROCESS_ROLES = ['retrieve', 'ingest', 'indexer', 'admin', 'audit'] as const;
export type ProcessRole = (typeof PROCESS_ROLES)[number];

/** What a process may be; `all` runs units of work of every role. */
export type ServiceRole = ProcessRole | 'all';
