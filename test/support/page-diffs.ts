import { readPage } from './docs.ts';

/** A diff of a page: the program that a reader has, and the one that the page makes of it. */
export interface PageDiff {
  /** The heading above it. */
  readonly title: string;
  readonly before: string;
  readonly after: string;
}

/** The blocks of a page that are diffs, each of a whole program. */
export function diffsOf(page: string): PageDiff[] {
  const found: PageDiff[] = [];
  let title = '';
  for (const [, heading, block] of readPage(page).matchAll(/^#{1,6} (.*)$|^```diff\n([^]*?)^```$/gm)) {
    if (heading === undefined) found.push({ title, before: side(block!, '-'), after: side(block!, '+') });
    else title = heading.replaceAll('`', '');
  }
  return found;
}

function side(block: string, sign: '+' | '-'): string {
  const lines = block.split('\n').filter((line) => line === '' || line.startsWith(' ') || line.startsWith(sign));
  return lines.map((line) => line.slice(1)).join('\n');
}
