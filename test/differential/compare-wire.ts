import { compresses, type Expect } from './compare.ts';
import { compareFields, isCodedAnew, latin } from './compare-fields.ts';
import { refusesHead } from './compare-traces.ts';
import { decodeBody } from './decode.ts';
import { fieldOf, type Message } from './messages.ts';
import { isCutting, isEnding, isHttp2, type Scenario, setsLength, type Step } from './script.ts';
import type { Dressing, Observation } from './site.ts';

interface Journey {
  readonly scenario: Scenario;
  readonly dressing: Dressing;
  /** What was sent is what had been sent when it was cut. */
  readonly isCut: boolean;
}

/** Compares what the client saw. */
export function compareWire(given: Journey, bare: Observation, dressed: Observation, expect: Expect): void {
  const isCut = given.isCut || bare.traces.some((trace) => trace.outcome === 'left open');
  const journey = { ...given, isCut };
  if (isPointless(journey, bare)) return;
  // A head that was flushed is there, whatever comes of the body.
  const isThere = !isCut || scripts(journey.scenario).every(flushesHead);
  if (isThere) expect('number of messages', bare.messages.length, dressed.messages.length);
  const hasRefusedHead = bare.traces.some(refusesHead);
  bare.messages.forEach((message, index) => {
    const other = dressed.messages[index];
    // The second request is always a GET.
    const scenario = index === 0 ? given.scenario : { ...given.scenario, method: 'GET' as const };
    if (!other) return;
    compareStatus(message, other, hasRefusedHead, expect);
    compareFields({ ...journey, scenario }, message, other, expect);
    compareMessages({ ...journey, scenario }, message, other, expect);
  });
  compareConnections(journey, bare, dressed, expect);
}

function compareConnections(journey: Journey, bare: Observation, dressed: Observation, expect: Expect): void {
  const { scenario, isCut } = journey;
  const isCoded = (index: number): boolean => isCodedAnew(bare.messages[index], dressed.messages[index]);
  // A handler that gives a wrong length breaks its connection. A coding takes the length away, and all is well.
  if (bare.messages.some((message, index) => hasWrongLength(message) && isCoded(index))) return;
  // Node keeps a connection of HTTP/1.0 open behind a length, which a body that is encoded whole has.
  if (!(scenario.version === '1.0' && isCoded(0))) expect('connection', bare.connection, dressed.connection);
  if (!isCut) expect('bytes behind', bare.hasRest, dressed.hasRest);
}

function scripts({ client, steps, second }: Scenario): (readonly Step[])[] {
  return client === 'pipelines' ? [steps, second] : [steps];
}

/**
 * Whether a script flushes its head, and leaves it a turn. With bytes before the flush the head waits for their
 * encoder.
 */
function flushesHead(steps: readonly Step[]): boolean {
  const flush = steps.findIndex((step) => step.do === 'flush' || step.do === 'flushHeaders');
  if (steps.slice(0, flush).some((step) => step.do === 'write')) return false;
  const turn = steps.findIndex((step, at) => at > flush && step.do === 'wait' && step.for === 'immediate');
  const before = steps.slice(0, turn);
  return flush >= 0 && turn >= 0 && !before.some((step) => isCutting(step) || isEnding(step) || step.do === 'cork');
}

/** Whether what came of a bare response is no measure. */
function isPointless({ scenario, dressing }: Journey, bare: Observation): boolean {
  // A transfer coding that no client knows; or beside a length, or over HTTP/1.0, which has none.
  const isUnknown = (message: Message): boolean => {
    const coding = fieldOf(message, 'transfer-encoding');
    if (coding === undefined) return false;
    return coding !== 'chunked' || scenario.version === '1.0' || fieldOf(message, 'content-length') !== undefined;
  };
  if (bare.messages.some(isUnknown)) return true;
  // Without a connection yet Node puts the head of a response whose body is bytes in front of the 1xx that wait.
  const isBehindHead = bare.messages[1]?.raw.toString('latin1').startsWith('HTTP/1.1 1') === true;
  if (scenario.client === 'pipelines' && isBehindHead) return true;
  if (!isHttp2(scenario)) return false;
  if (bare.connection.startsWith('never closed')) return true;
  // Without a body Node ends the stream in the frame of the head, and the client refuses a length there. The head that
  // the library has looked at goes out in a frame of its own: the client sees it, and refuses the end.
  if (bare.messages.length === 0 && scenario.steps.some(setsLength)) return true;
  // A client of HTTP/2 refuses a body of another length than the one that it was told, which a coding takes away.
  return compresses(dressing) && scenario.steps.some(setsLength);
}

/** Whether the length that a message announces is not that of its body. */
export function hasWrongLength(message: Message): boolean {
  const length = fieldOf(message, 'content-length');
  return length !== undefined && (!message.complete || message.raw.length !== Number(length));
}

function compareStatus(bare: Message, dressed: Message, hasRefusedHead: boolean, expect: Expect): void {
  expect('1xx', bare.interim.join(' & '), dressed.interim.join(' & '));
  // Node keeps the text of a head that it refused.
  const status = ({ statusLine }: Message): string =>
    hasRefusedHead ? statusLine.split(' ', 2).join(' ') : latin(statusLine);
  expect('status line', status(bare), status(dressed));
}

function compareMessages(journey: Journey, bare: Message, dressed: Message, expect: Expect): void {
  const { scenario, isCut } = journey;
  const isCoded = isCodedAnew(bare, dressed);
  // A client closes behind an answer that has no framing, to HEAD too.
  // Over HTTP/1.0 there is none but a length, which is not that of what would be encoded.
  if (scenario.method === 'HEAD' && isFramed(bare) && scenario.version === '1.1')
    expect('framing', true, isFramed(dressed));
  const isWrong = hasWrongLength(bare) && isCoded;
  const body = isCoded ? decodeBody(dressed, isCut) : dressed.body;
  compareBodies(isCut, (isWrong ? bare.raw : bare.body).toString('latin1'), body.toString('latin1'), expect);
  if (isWrong) return;
  if (!isCut) expect('complete', bare.complete, dressed.complete);
  // A message that has all of the length that it announced is complete when it is cut; one that is encoded is not. A
  // stream of HTTP/2 that is destroyed without an error ends like one that is complete.
  else if (!isHttp2(scenario) && !bare.complete) expect('complete', false, dressed.complete);
  if (hasPlaceForTrailers(journey, bare, isCoded)) {
    expect('trailers', bare.trailers.join(' & '), dressed.trailers.join(' & '));
  }
}

function isFramed(message: Message): boolean {
  return fieldOf(message, 'content-length') !== undefined || fieldOf(message, 'transfer-encoding') !== undefined;
}

/** Whether trailers come, or not, on both. */
function hasPlaceForTrailers({ scenario }: Journey, bare: Message, isCoded: boolean): boolean {
  // A message with a length has no place for them, and one in chunks has.
  const gainsPlace = isCoded && fieldOf(bare, 'content-length') !== undefined;
  // Over HTTP/2 a head without a body ends the stream where it comes with the end, and not where it is looked at
  // before.
  const isEmpty = isHttp2(scenario) && bare.body.length === 0;
  // Those that come behind the end come too late, or before the encoder has ended it.
  const behindEnd = (steps: readonly Step[]): readonly Step[] => steps.slice(steps.findIndex(isEnding));
  const isLate = scripts(scenario).some((steps) => behindEnd(steps).some((step) => step.do === 'addTrailers'));
  return !gainsPlace && !isEmpty && !isLate;
}

function compareBodies(isCut: boolean, bare: string, dressed: string, expect: Expect): void {
  // What had come through when it was cut.
  if (bare === dressed || (isCut && (bare.startsWith(dressed) || dressed.startsWith(bare)))) return;
  let at = 0;
  while (bare[at] === dressed[at]) at += 1;
  const excerpt = (body: string): string =>
    `${body.length} bytes, at ${at}: ${body.slice(Math.max(0, at - 20), at + 80)}`;
  expect('body', excerpt(bare), excerpt(dressed));
}
