import zlib from 'node:zlib';
import { compresses, type Expect } from './compare.ts';
import { refusesHead } from './compare-traces.ts';
import { fieldOf, type Message } from './messages.ts';
import { isCutting, isEnding, isHttp2, type Scenario, type Step } from './script.ts';
import type { Dressing, Observation } from './site.ts';

interface Journey {
  readonly scenario: Scenario;
  readonly dressing: Dressing;
  readonly isCut: boolean;
  readonly hasRefusedHead?: boolean;
}

/** Compares what the client saw. */
export function compareWire(given: Journey, bare: Observation, dressed: Observation, expect: Expect): void {
  const isCut = given.isCut || bare.traces.some((trace) => trace.outcome === 'left open');
  const journey = { ...given, isCut };
  if (isPointless(journey, bare)) return;
  // A head that was flushed is there, whatever comes of the body.
  if (!isCut || scripts(journey.scenario).every(flushesHead)) expect('number of messages', bare.messages.length, dressed.messages.length);
  bare.messages.forEach((message, index) => {
    const other = dressed.messages[index];
    const scenario = index === 0 ? given.scenario : { ...given.scenario, method: 'GET' as const };
    if (other) compareMessages({ ...journey, scenario, hasRefusedHead: bare.traces.some(refusesHead) }, message, other, expect);
  });
  // A handler that gives a wrong length breaks its connection. A coding takes the length away, and all is well.
  if (bare.messages.some((message, index) => hasWrongLength(message) && isCodedAnew(message, dressed.messages[index]))) return;
  // Node keeps a connection of HTTP/1.0 open behind a length, which a body that is encoded whole has.
  if (!(given.scenario.version === '1.0' && isCodedAnew(bare.messages[0], dressed.messages[0]))) expect('connection', bare.connection, dressed.connection);
  if (!isCut) expect('bytes behind', bare.hasRest, dressed.hasRest);
}

function scripts({ client, steps, second }: Scenario): (readonly Step[])[] {
  return client === 'pipelines' ? [steps, second] : [steps];
}

/** Whether a script flushes its head, and leaves it a turn. */
function flushesHead(steps: readonly Step[]): boolean {
  const flush = steps.findIndex((step) => step.do === 'flush' || step.do === 'flushHeaders');
  const turn = steps.findIndex((step, at) => at > flush && step.do === 'wait' && step.for === 'immediate');
  return flush >= 0 && turn >= 0 && !steps.slice(0, turn).some((step) => isCutting(step) || isEnding(step) || step.do === 'cork');
}

/** Whether what came of a bare response is no measure. */
function isPointless({ scenario, dressing }: Journey, bare: Observation): boolean {
  // A transfer coding that no client knows; or beside a length, or over HTTP/1.0, which has none.
  const isUnknown = (message: Message): boolean => {
    const coding = fieldOf(message, 'transfer-encoding');
    return coding !== undefined && (coding !== 'chunked' || scenario.version === '1.0' || fieldOf(message, 'content-length') !== undefined);
  };
  if (bare.messages.some(isUnknown)) return true;
  // Without a connection yet Node puts the head of a response whose body is bytes in front of the 1xx that wait.
  if (scenario.client === 'pipelines' && bare.messages[1]?.raw.toString('latin1').startsWith('HTTP/1.1 1') === true) return true;
  if (!isHttp2(scenario)) return false;
  // A client of HTTP/2 refuses a body of another length than the one that it was told, which a coding takes away.
  return bare.connection.startsWith('never closed') || (compresses(dressing) && scenario.steps.some((step) => step.do === 'contentLength' || ('name' in step && step.name === 'Content-Length')));
}

/** Whether the length that a message announces is not that of its body. */
export function hasWrongLength(message: Message): boolean {
  const length = fieldOf(message, 'content-length');
  return length !== undefined && (!message.complete || message.raw.length !== Number(length));
}

function isCodedAnew(bare: Message | undefined, dressed: Message | undefined): boolean {
  return bare !== undefined && dressed !== undefined && fieldOf(dressed, 'content-encoding') !== fieldOf(bare, 'content-encoding');
}

function compareMessages(journey: Journey, bare: Message, dressed: Message, expect: Expect): void {
  const { scenario, isCut } = journey;
  const isCoded = isCodedAnew(bare, dressed);
  expect('1xx', bare.interim.join(' & '), dressed.interim.join(' & '));
  const status = ({ statusLine }: Message): string => (journey.hasRefusedHead === true ? statusLine.split(' ', 2).join(' ') : latin(statusLine));
  expect('status line', status(bare), status(dressed));
  compareFields(journey, bare, dressed, expect);
  // A client closes behind an answer that has no framing, to HEAD too.
  const isFramed = (message: Message): boolean => fieldOf(message, 'content-length') !== undefined || fieldOf(message, 'transfer-encoding') !== undefined;
  if (scenario.method === 'HEAD' && isFramed(bare) && (scenario.version === '1.1' || scenario.connection === 'keep-alive')) expect('framing', true, isFramed(dressed));
  const isWrong = hasWrongLength(bare) && isCoded;
  compareBodies(isCut, (isWrong ? bare.raw : bare.body).toString('latin1'), (isCoded ? decode(dressed, isCut) : dressed.body).toString('latin1'), expect);
  if (isWrong) return;
  if (!isCut) expect('complete', bare.complete, dressed.complete);
  // A message that has all of the length that it announced is complete when it is cut; one that is encoded is not. A stream of HTTP/2
  // that is destroyed without an error ends like one that is complete.
  else if (!isHttp2(scenario) && !bare.complete) expect('complete', false, dressed.complete);
  // A message with a length has no place for trailers, and one in chunks has.
  const gainsPlace = isCoded && fieldOf(bare, 'content-length') !== undefined;
  // Over HTTP/2 a head without a body ends the stream where it comes with the end, and not where it is looked at before.
  const isEmpty = isHttp2(scenario) && bare.body.length === 0;
  // Those that come behind the end come too late, or before the encoder has ended it.
  const isLate = scripts(scenario).some((steps) => steps.slice(steps.findIndex(isEnding)).some((step) => step.do === 'addTrailers'));
  if (!gainsPlace && !isEmpty && !isLate) expect('trailers', bare.trailers.join(' & '), dressed.trailers.join(' & '));
}

function compareBodies(isCut: boolean, bare: string, dressed: string, expect: Expect): void {
  // What had come through when it was cut.
  if (bare === dressed || (isCut && (bare.startsWith(dressed) || dressed.startsWith(bare)))) return;
  expect('body', `${bare.length}: ${bare.slice(0, 100)}`, `${dressed.length}: ${dressed.slice(0, 100)}`);
}

/** Node sends a head in the encoding of the text behind it: what is not ASCII comes as Latin-1, or as UTF-8. */
function latin(text: string): string {
  const decoded = Buffer.from(text, 'latin1').toString();
  return decoded.includes('\ufffd') ? text : decoded;
}

function compareFields(journey: Journey, bare: Message, dressed: Message, expect: Expect): void {
  const names = new Set([...bare.fields, ...dressed.fields].map(([name]) => name));
  const values = (message: Message, name: string): string[] => message.fields.filter(([each]) => each === name).map(([, value]) => latin(value));
  for (const name of names) {
    const [left, right] = [values(bare, name), values(dressed, name)];
    if (left.join('\n') === right.join('\n')) continue;
    // Several lines are one list (RFC 9110 5.3).
    if (compresses(journey.dressing) && mayDiffer(name.toLowerCase(), { left: left.join(', '), right: right.join(', '), isCoded: isCodedAnew(bare, dressed), status: dressed.statusLine, hasBody: fieldOf(bare, 'content-length') !== '0' || fieldOf(bare, 'content-type')?.startsWith('text/event-stream') === true }, journey.scenario)) continue;
    expect(`field ${name}`, left.join(' & '), right.join(' & '));
  }
}

interface Change {
  readonly left: string;
  readonly right: string;
  readonly isCoded: boolean;
  readonly status: string;
  /** Whether it was not known to be empty when the head went out. An event stream is taken for one whatever it announces. */
  readonly hasBody: boolean;
}

/** What `compress` may do to a field. */
function mayDiffer(name: string, { left, right, isCoded, status, hasBody }: Change, { method, version, connection, accepts }: Scenario): boolean {
  // Of the GET that it stands for neither length nor coding are known.
  const isHead = method === 'HEAD';
  switch (name) {
    case 'vary':
      // To name another field beside a star means nothing.
      return right === left || (right === '*' && left.includes('*')) || right === (left === '' ? 'Accept-Encoding' : `${left}, Accept-Encoding`);
    case 'content-encoding':
      return (left === '' || left === 'identity') && !isHead && hasBody && accepts.includes(right) && !/ ?(204|205|206|304)\b/.test(status);
    case 'content-length':
    case 'transfer-encoding':
      return isCoded || isHead;
    case 'etag':
      return (isCoded || isHead || / ?304\b/.test(status)) && (right === left || right === `W/${left}` || (isHead && right === ''));
    case 'accept-ranges':
      return (isCoded || isHead) && right === '';
    case 'connection':
    case 'keep-alive':
      // Node keeps a connection of HTTP/1.0 open behind a length, which a body that is encoded whole has.
      return isCoded && version === '1.0' && connection === 'keep-alive';
    default:
      return false;
  }
}

// Not in the types of Node 20.
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (bytes: Uint8Array, options: object) => Buffer };

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH } = zlib.constants;

const decoders: Readonly<Record<string, ((body: Buffer, isWhole: boolean) => Buffer) | undefined>> = {
  gzip: (body, isWhole) => zlib.gunzipSync(body, isWhole ? {} : { finishFlush: Z_SYNC_FLUSH }),
  deflate: (body, isWhole) => zlib.inflateSync(body, isWhole ? {} : { finishFlush: Z_SYNC_FLUSH }),
  br: (body, isWhole) => zlib.brotliDecompressSync(body, isWhole ? {} : { finishFlush: BROTLI_OPERATION_FLUSH }),
  zstd: (body, isWhole) => zstdDecompressSync?.(body, isWhole ? {} : { finishFlush: 1 }) ?? body,
};

/** The body without its coding; of one that was cut, what there is. */
function decode(message: Message, isCut: boolean): Buffer {
  const decoder = decoders[fieldOf(message, 'content-encoding') ?? ''];
  if (!decoder || message.body.length === 0) return message.body;
  try {
    return decoder(message.body, message.complete && !isCut);
  } catch (error) {
    return Buffer.from(`<cannot be decoded: ${(error as Error).message}>`);
  }
}
