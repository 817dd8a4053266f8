import '../store/target.ts';
