export const target = true;
export type Target = true;
