// A worker thread does not inherit the loader that runs TypeScript, so it registers its own: see
// src/embed/worker-entry.mjs. The libraries come first, as the loader would take longer over them.
import 'mdast-util-from-markdown';
import 'parse5';
import 'yaml';
import { register } from 'tsx/esm/api';

register({ tsconfig: false });
await import('./parse-worker.ts');
