/** Branded identifiers: a class id is never passed where a principal id belongs. */
declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

export type TenantId = Branded<number, 'TenantId'>;
export type ClassId = Branded<number, 'ClassId'>;
export type PrincipalId = Branded<number, 'PrincipalId'>;
/** UUID, the server's. */
export type DocumentId = Branded<string, 'DocumentId'>;
/** Positive integer, below 2^53. */
export type ChunkId = Branded<number, 'ChunkId'>;
/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = Branded<number, 'Instant'>;

export const tenantId = (n: number): TenantId => n as TenantId;
export const classId = (n: number): ClassId => n as ClassId;
export const principalId = (n: number): PrincipalId => n as PrincipalId;
export const documentId = (s: string): DocumentId => s as DocumentId;
export const chunkId = (n: number): ChunkId => n as ChunkId;
export const instant = (ms: number): Instant => ms as Instant;
