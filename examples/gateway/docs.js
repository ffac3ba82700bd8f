// @ts-check
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { marked } from 'marked';
import { isMissing } from './line-reader.js';

const root = join(import.meta.dirname, '../..');

/**
 * `GET /docs/sse.md`: a page of the documentation, or one of the pages at the root of the project, as HTML.
 *
 * @returns {import('express').RequestHandler<{ page: string }>}
 */
export function docs() {
  return async (req, res, next) => {
    const { page } = req.params;
    if (!/^[\w-]+\.md$/.test(page)) return next();
    const text = await readPage(page);
    if (text === undefined) return next();
    res.type('html').send(toHtml(page, text));
  };
}

/** @param {string} page */
async function readPage(page) {
  for (const folder of ['docs', '.']) {
    try {
      return await readFile(join(root, folder, page), 'utf8');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

/**
 * @param {string} page
 * @param {string} text
 */
function toHtml(page, text) {
  const body = marked.parse(text, { async: false, renderer: createRenderer() });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="dark light" />
<title>${page} – sluice</title>
<link rel="icon" href="data:," />
<link rel="stylesheet" href="/style.css" />
</head>
<body class="doc">
<nav><a href="/">Gateway</a> · <a href="/docs/README.md">README</a></nav>
<main class="text">
${body}
</main>
</body>
</html>
`;
}

/** Headings get the ids and links get the addresses that they have in a checkout: all pages are in one folder here. */
function createRenderer() {
  const renderer = new marked.Renderer();
  /** @type {Map<string, number>} */
  const seen = new Map();
  renderer.heading = function ({ tokens, depth }) {
    const text = this.parser.parseInline(tokens);
    return `<h${depth} id="${idOf(text, seen)}">${text}</h${depth}>\n`;
  };
  const { link } = renderer;
  renderer.link = function (token) {
    return link.call(this, { ...token, href: token.href.replace(/^(?:\.\.\/|docs\/)(?=[\w-]+\.md)/, '') });
  };
  return renderer;
}

/**
 * @param {string} html - of a heading
 * @param {Map<string, number>} seen - how often an id was wanted on this page
 */
function idOf(html, seen) {
  const plain = html.replaceAll(/<[^>]*>|&\w+;|&#\d+;/g, '').toLowerCase();
  const id = plain.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-');
  const count = seen.get(id) ?? 0;
  seen.set(id, count + 1);
  return count === 0 ? id : `${id}-${count}`;
}
