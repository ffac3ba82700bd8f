import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pages, readPage } from '../support/docs.ts';

/** A page without its blocks of code. */
function proseOf(page: string): string {
  return readPage(page).replaceAll(/^( *)```[^]*?^\1```$/gm, '');
}

/** The anchors of a page's headings, as GitHub and npm make them. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of proseOf(page).matchAll(/^#{1,6} (.*)$/gm)) {
    const slug = heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-');
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

const everyPage = [...pages, 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'];

/** The links of a page that lead to no file, or to no heading. */
function deadLinksOf(page: string): string[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^https?:/.test(link))
    .filter((link) => {
      const [path, anchor] = link.split('#') as [string, string?];
      const target = path === '' ? page : normalize(join(dirname(page), path));
      return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).has(anchor));
    });
}

describe('the documentation', () => {
  it.for(everyPage)('%s has no dead link', (page) => {
    expect(deadLinksOf(page)).toEqual([]);
  });

  it('has a link to every page in README.md', () => {
    const linked = [...readPage('README.md').matchAll(/\]\((docs\/[\w-]+\.md)/g)].map(([, path]) => path);
    expect(pages.filter((page) => page !== 'README.md' && !linked.includes(page))).toEqual([]);
  });
});

describe.for(everyPage.filter((page) => page !== 'CHANGELOG.md'))('%s', (page) => {
  it('has no sentence of more than 30 words', () => {
    const sentences = proseOf(page)
      .split(/\n\n|\n(?=[|#-])|(?<=[.:;?!])\s|[|·]/)
      .map((sentence) => sentence.match(/[\p{L}\p{N}][^\s|]*/gu) ?? []);
    expect(sentences.filter((words) => words.length > 30).map((words) => words.join(' '))).toEqual([]);
    expect(sentences.length).toBeGreaterThan(10);
  });

  it('has no line of more than 105 characters outside of tables and code', () => {
    const lines = proseOf(page).split('\n');
    expect(lines.filter((line) => line.length > 105 && !line.startsWith('|'))).toEqual([]);
  });

  it('says who or what does it', () => {
    expect(proseOf(page).match(/\b(?:whoever|whomever|somebody|nobody)\b/gi)).toBe(null);
  });
});
