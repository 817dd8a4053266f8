import './target-of-a-cycle.ts';
