/** Where a sign-in may lead back to: pages of this server that a person can be on, and nothing else. */
const PAGES = [/^\/$/, /^\/why\/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/];

/**
 * The path itself when it is one of the pages; else the first page. Compared as it is, never decoded or resolved, so
 * that no spelling of another host or of a line break gets through.
 */
export function returnTo(path: string | undefined): string {
  return path !== undefined && PAGES.some((page) => page.test(path)) ? path : '/';
}
