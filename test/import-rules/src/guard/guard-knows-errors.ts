import '../policy/target.ts';
