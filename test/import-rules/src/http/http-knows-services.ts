import '../index/target.ts';
