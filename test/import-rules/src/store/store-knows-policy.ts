import '../audit/target.ts';
