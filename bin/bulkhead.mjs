#!/usr/bin/env node
// The command-line entry. TypeScript is run through tsx, so what the tests read is what runs.
import { register } from 'tsx/esm/api';

register();
await import('../src/main.ts');
