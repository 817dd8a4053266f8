import '../dev/target.ts';
