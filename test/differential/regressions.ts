import { plain, type Scenario, type Step, type Wait } from './script.ts';
import type { ArgumentForm, ChunkKind, Encoding } from './chunks.ts';
import type { FieldValue, HeadForm, StatusValue } from './heads.ts';

/** A scenario that differed once, and why. */
export interface Regression {
  readonly name: string;
  readonly scenario: Scenario;
}

// The words of the scripts.
const chunk = (kind: ChunkKind, size: number): { kind: ChunkKind; size: number } => ({ kind, size });
const write = (
  size: number,
  form: ArgumentForm = 'chunk',
  kind: ChunkKind = 'string',
  encoding: Encoding = 'utf8',
): Step => ({ do: 'write', form, chunk: chunk(kind, size), encoding });
const end = (
  size: number,
  form: ArgumentForm = 'chunk',
  kind: ChunkKind = 'string',
  encoding: Encoding = 'utf8',
): Step => ({ do: 'end', form, chunk: chunk(kind, size), encoding });
const endEmpty: Step = end(1, 'none');
const endCalledBack: Step = end(1, 'callback');
const destroy: Step = { do: 'destroy', error: false };
const writeHead = (form: HeadForm): Step => ({ do: 'writeHead', form });
const statusCode = (value: StatusValue): Step => ({ do: 'statusCode', value });
const set = (name: string, value: FieldValue): Step => ({ do: 'setHeader', name, value });
const wait = (what: Wait): Step => ({ do: 'wait', for: what });
const pipe = (...sizes: number[]): Step => ({
  do: 'pipe',
  chunks: sizes.map((size) => chunk('string', size)),
  fails: false,
  open: false,
});
const pipeline = (...sizes: number[]): Step => ({
  do: 'pipeline',
  chunks: sizes.map((size) => chunk('string', size)),
  fails: false,
  open: false,
});

function when(name: string, steps: readonly Step[], rest: Partial<Scenario> = {}): Regression {
  return { name, scenario: { ...plain, ...rest, steps } };
}

// A body of 20,000 characters is encoded in another thread: head and end wait for it.
export const regressions: readonly Regression[] = [
  when('a write behind destroy sends no head', [destroy, write(20_000, 'chunk, callback')]),
  when('a source behind destroy does not meet a bad status', [statusCode('0'), pipe(2000), destroy], {
    client: 'pipelines',
    second: [endEmpty],
  }),
  when('pairs are refused where a field is set', [writeHead('pairs'), end(20)]),
  when('pairs with repeated names are taken where none is set', [writeHead('pairs with repeated names'), end(2000)], {
    type: undefined,
  }),
  when('a length that was removed is not made up', [{ do: 'removeHeader', name: 'Content-Length' }, endEmpty]),
  when('a second end, and destroy, while the head waits', [end(20_000), endCalledBack, destroy]),
  when('a second end, and a client that leaves, while the head waits', [end(20_000), end(1, 'chunk', 'empty string')], {
    client: 'leaves at once',
  }),
  when('an end that is refused, behind one that threw', [
    write(20_000),
    end(20_000, 'chunk, encoding', 'string', 'nonsense'),
    end(20, 'chunk', 'array'),
    wait('immediate'),
  ]),
  when('an end that is refused, then a whole body in pieces', [end(20, 'chunk', 'view'), write(150_000), endEmpty]),
  when('an end that strictContentLength refuses, then the right one', [
    { do: 'strict' },
    { do: 'contentLength', length: 'long' },
    writeHead('empty object'),
    end(2000),
    end(2000),
  ]),
  when('strictContentLength and a body that is too long', [
    { do: 'strict' },
    { do: 'contentLength', length: 'short' },
    { do: 'flushHeaders' },
    write(2000),
    end(2000),
  ]),
  when('strictContentLength and a 204', [
    { do: 'strict' },
    { do: 'contentLength', length: 'long' },
    statusCode('204'),
    end(2000, 'chunk, callback'),
  ]),
  when('strictContentLength and HEAD', [{ do: 'strict' }, { do: 'contentLength', length: 'long' }, endEmpty], {
    method: 'HEAD',
  }),
  when('writeHead, then flush: the head is sent', [
    writeHead('object with type'),
    { do: 'flush' },
    wait('immediate'),
    destroy,
  ]),
  when('a status that is refused, then an answer', [writeHead('zero'), end(2000)]),
  when('each status that is refused, then an answer', [
    writeHead('99'),
    writeHead('1000'),
    writeHead('NaN'),
    writeHead('no number'),
    end(20_000),
  ]),
  when('bytes of another realm', [write(2000, 'chunk, callback', 'foreign uint8'), end(20, 'chunk', 'foreign uint8')]),
  when('a whole body of another realm', [end(20_000, 'chunk', 'foreign uint8')]),
  when('views over HTTP/2', [write(2000, 'chunk, callback', 'view'), end(2000, 'chunk', 'uint16')], {
    carrier: 'http2',
  }),
  when('finished, as soon as it is ended', [end(20_000)]),
  when('finished, of a pipelined response', [end(2000)], { client: 'pipelines', second: [write(20_000), end(2000)] }),
  when('a status as a string: 204', [statusCode("'204'"), end(2000)]),
  when('a status as a string: 304, in writeHead', [writeHead('304 as string'), end(2000)]),
  when('a status that is no whole number', [statusCode('200.5'), end(20_000)]),
  when('the status text while the head waits', [end(20_000), { do: 'getHeaderNames' }]),
  when('a half-closing client gets a whole body', [end(150_000)], { client: 'half-closes' }),
  when('a half-closing client gets what is written in one turn', [write(70_000), write(70_000), end(20)], {
    client: 'half-closes',
  }),
  when('repeated names in writeHead', [writeHead('list with repeated names'), end(2000)]),
  when(
    'fields of writeHead cannot be read where none was set before',
    [writeHead('object'), { do: 'getHeader', name: 'X-Given' }, end(2000)],
    { type: undefined },
  ),
  when('a write of nothing behind the end', [end(20_000), write(1, 'none')]),
  when('HEAD keeps the connection', [{ do: 'contentLength', length: 'right' }, end(20_000)], { method: 'HEAD' }),
  when('a Trailer field and a pipeline', [set('Trailer', 'x-checksum'), pipeline(2000, 20_000)]),
  when('trailers of a body in pieces', [
    set('Trailer', 'x-checksum'),
    write(2000),
    { do: 'addTrailers', form: 'object' },
    endEmpty,
  ]),
  when('a write of something else behind the end, over HTTP/2', [end(20_000), write(20, 'chunk, callback', 'number')], {
    carrier: 'http2',
  }),
  when(
    'a callback of a write that destroy overtakes, over HTTP/2',
    [write(20, 'chunk, callback'), wait('nextTick'), destroy],
    { carrier: 'http2', type: 'text/event-stream' },
  ),
  when(
    'a list for a field that HTTP/2 has once',
    [{ do: 'appendHeader', name: 'Content-Type', value: 'json' }, end(20_000)],
    { carrier: 'http2', type: 'text/html; charset=utf-8' },
  ),
  when('a field that HTTP/2 has not', [set('Transfer-Encoding', 'chunked'), end(20_000)], { carrier: 'http2' }),
  when('a Trailer field over HTTP/1.0', [set('Trailer', 'x-checksum'), end(20_000)], { version: '1.0' }),
  when('a second end with something else', [end(20_000), end(20, 'chunk', 'array')]),
  when('early hints of a pipelined response', [end(20)], {
    client: 'pipelines',
    second: [{ do: 'writeEarlyHints', callback: false }, end(2000)],
  }),
];
