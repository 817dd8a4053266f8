export const target = true;
