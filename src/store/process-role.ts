/** One Postgres role for each process role; a unit of work runs as exactly one of them. */
export type ProcessRole = 'retrieve' | 'ingest' | 'indexer' | 'admin' | 'audit';
