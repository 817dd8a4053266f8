import '../http/target.ts';
