import '../main.ts';
