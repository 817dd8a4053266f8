// A worker thread does not inherit the loader that runs TypeScript, so it registers its own. The folder that the
// process was started in may hold any tsconfig.json; it has no say here. The large library comes first: through the
// loader it takes half a second longer.
import '@xenova/transformers';
import { register } from 'tsx/esm/api';

register({ tsconfig: false });
await import('./worker.ts');
