// Every relative link of a page leads to a file of the package, and every anchor to a heading.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** The links of a folder that lead nowhere. @param {string} root @param {readonly string[]} pages - from the root */
export function findDeadLinks(root, pages) {
  return pages.flatMap((page) => {
    const text = withoutCode(readFileSync(join(root, page), 'utf8'));
    return linksOf(text)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !leadsSomewhere(root, page, target))
      .map((target) => `${page}: ${target}`);
  });
}

/** @param {string} root @param {string} page @param {string} target */
function leadsSomewhere(root, page, target) {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? join(root, page) : join(root, dirname(page), path);
  if (relative(root, file).startsWith('..') || !existsSync(file)) return false;
  return anchor === undefined || anchorsOf(readFileSync(file, 'utf8')).has(anchor);
}

/** @param {string} text */
function withoutCode(text) {
  return text.replaceAll(/^(`{3,})[^]*?^\1$/gm, '').replaceAll(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
}

/** Of `[text](target)`, `[name]: target` and HTML. @param {string} text */
function linksOf(text) {
  const found = text.matchAll(/\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)="([^"]+)"/gm);
  return [...found].map(([, inline, reference, html]) => inline ?? reference ?? html ?? '');
}

/** The anchors that GitHub gives to headings. @param {string} text */
function anchorsOf(text) {
  /** @type {Set<string>} */
  const anchors = new Set();
  for (const [, title = ''] of text.replaceAll(/^(`{3,})[^]*?^\1$/gm, '').matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    let [anchor, count] = [slug, 0];
    while (anchors.has(anchor)) anchor = `${slug}-${++count}`;
    anchors.add(anchor);
  }
  for (const [, id = ''] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}
