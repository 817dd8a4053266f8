import '../index/pgvector-target.ts';
