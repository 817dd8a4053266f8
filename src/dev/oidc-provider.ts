/**
 * oidc-provider without one line of its: on import it warns of every Node below 22, which it runs on and which this
 * project supports and tests. Its other warnings pass.
 */
const { console } = globalThis;
const warn = console.warn;
console.warn = (...line: unknown[]) => {
  if (!String(line[0]).includes('Unsupported runtime')) warn.apply(console, line);
};
const library = await import('oidc-provider').finally(() => {
  console.warn = warn;
});

export const Provider = library.default;
export const { interactionPolicy } = library;
