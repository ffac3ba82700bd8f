import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { type HttpRequest, type HttpResponse, isGone, requestField } from '../../internal/http/message.ts';
import { forbidCaching } from '../../internal/writer/answer.ts';
import { setLength } from '../../internal/seam/head.ts';

interface StoredFile {
  readonly content: Buffer;
  readonly etag: string;
}

const script = 'text/javascript; charset=utf-8';
const style = 'text/css; charset=utf-8';

/** The files of the page, by the path at which they are served. */
const files = new Map([
  ['/', { name: 'index.html', type: 'text/html; charset=utf-8' }],
  ['/style.css', { name: 'style.css', type: style }],
  ...['app.js', 'actions.js', 'charts.js', 'format.js', 'overview.js', 'table.js'].map(
    (name) => [`/${name}`, { name, type: script }] as const,
  ),
  ['/uplot.js', { name: 'uPlot.iife.min.js', type: script }],
  ['/uplot.css', { name: 'uPlot.min.css', type: style }],
]);

/** Whether a file of the page is at a path. */
export function isFile(path: string): boolean {
  return files.has(path);
}

/** Serves the files of the page. Each is read once. */
export class Files {
  readonly #read = new Map<string, Promise<StoredFile>>();

  /** Rejects when the files are not where they should be, as in a bundle. */
  async send(path: string, req: HttpRequest, response: HttpResponse): Promise<void> {
    const { name = '', type = '' } = files.get(path) ?? {};
    const { content, etag } = await this.#get(name);
    if (isGone(response)) return;
    const res = response as ServerResponse;
    forbidCaching(response);
    // Asked for again each time: a new version of the package has new files at the same paths.
    res.setHeader('Cache-Control', 'private, no-cache');
    res.setHeader('ETag', etag);
    if (isKnown(requestField(req, 'if-none-match'), etag)) {
      res.statusCode = 304;
      res.end();
      return;
    }
    res.statusCode = 200;
    res.setHeader('Content-Type', type);
    setLength(response, content.length);
    res.end(req.method === 'HEAD' ? undefined : content);
  }

  #get(name: string): Promise<StoredFile> {
    let file = this.#read.get(name);
    if (!file) {
      file = readPageFile(name).then((content) => ({
        content,
        etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
      }));
      this.#read.set(name, file);
      // They may be put there later.
      file.catch(() => this.#read.delete(name));
    }
    return file;
  }
}

/** RFC 9110 13.1.2, with weak comparison: a compressing middleware or proxy may have made the tag weak. */
function isKnown(field: string | undefined, etag: string): boolean {
  return field?.split(',').some((each) => each.trim().replace(/^W\//, '') === etag) === true;
}

async function readPageFile(name: string): Promise<Buffer> {
  const [first, second] = folders();
  try {
    return await readFile(join(first, name));
  } catch {
    return readFile(join(second, name)).catch((cause: unknown) => {
      const message =
        `The dashboard has no file ${join(first, name)}. A bundle needs the folder \`dist/monitor/dashboard/page\` ` +
        'of the package sluice beside it, under the name `page`, or it must leave the package out.';
      throw new Error(message, { cause });
    });
  }
}

/** Of the package, and of its sources, where what it takes from the package `uplot` is not copied. */
function folders(): readonly [string, string] {
  // A bundle that is an ES module has no `__dirname`.
  const here = typeof __dirname === 'string' ? __dirname : dirname(process.argv[1] ?? '');
  return [join(here, 'page'), join(here, '../../../node_modules/uplot/dist')];
}
