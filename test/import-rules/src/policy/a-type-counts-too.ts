import type { Target } from '../store/target.ts';

export type Same = Target;
