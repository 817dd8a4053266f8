import '../retrieve/target.ts';
