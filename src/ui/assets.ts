import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Asset {
  /** Holds a hash of the content, so that it may be cached for ever. */
  readonly path: string;
  readonly mediaType: string;
  readonly content: string;
}

export const STYLES = asset('styles.css', 'text/css; charset=utf-8');
export const ICON = asset('icon.svg', 'image/svg+xml');

function asset(file: string, mediaType: string): Asset {
  const content = readFileSync(join(import.meta.dirname, file), 'utf8');
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 12);
  return { path: `/assets/${file.replace('.', `-${hash}.`)}`, mediaType, content };
}
