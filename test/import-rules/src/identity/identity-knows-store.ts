import '../ingest/target.ts';
