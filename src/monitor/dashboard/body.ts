import { type HttpRequest, requestField } from '../../internal/http/message.ts';
import type { Refusal } from './policy/access.ts';

/** The body of a request, or why there is none; `undefined`: the client has left. */
export type Body = { readonly value: unknown } | Refusal | undefined;

const mostBytes = 64 * 1_024;

const tooLarge: Refusal = { status: 413, code: 'body-too-large', message: 'The body may have 64 kB.' };

/** Reads JSON. A body that a parser of the application has read is taken as it is. */
export async function readJson(req: HttpRequest): Promise<Body> {
  const { body } = req as { body?: unknown };
  // Parsers of other types leave an empty object, and the body unread.
  if (req.readableEnded && body !== undefined)
    return typeof body === 'string' || Buffer.isBuffer(body) ? parse(body.toString()) : { value: body };
  if (requestField(req, 'content-encoding') !== undefined)
    return { status: 415, code: 'unsupported-encoding', message: 'The body must not be compressed.' };
  // Said before it is read: the limit also holds for a body that comes slowly.
  if (Number(requestField(req, 'content-length') ?? 0) > mostBytes) return tooLarge;
  const text = await readText(req);
  return typeof text === 'string' ? parse(text) : text;
}

function parse(text: string): Body {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { status: 400, code: 'invalid-json', message: (error as Error).message };
  }
}

/** Not by iteration, which destroys the request when it stops early, and with it the connection. */
function readText(req: HttpRequest): Promise<string | Refusal | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    function settle(result: string | Refusal | undefined): void {
      req.off('data', take).off('end', finish).off('close', leave).off('error', leave);
      // What is left of the body is dropped.
      req.resume();
      resolve(result);
    }
    function take(chunk: Buffer): void {
      chunks.push(chunk);
      length += chunk.length;
      if (length > mostBytes) settle(tooLarge);
    }
    function finish(): void {
      settle(Buffer.concat(chunks).toString());
    }
    function leave(): void {
      settle(undefined);
    }
    if (req.destroyed || req.readableEnded) settle(req.destroyed ? undefined : '');
    else req.on('data', take).on('end', finish).on('close', leave).on('error', leave);
  });
}
