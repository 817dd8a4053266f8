import '../ui/target.ts';
