import { compresses, type Expect } from './compare.ts';
import type { Call, Sample, Trace } from './interpreter.ts';
import type { Outlook } from './outlook.ts';
import { isHttp2, isPiping, nameOfStep, type Scenario, type Step } from './script.ts';
import type { Dressing } from './site.ts';

export interface Play {
  readonly scenario: Scenario;
  readonly dressing: Dressing;
  readonly outlook: Outlook;
  readonly steps: readonly Step[];
  /** Its connection is another response's, which leaves to chance when it gets it. */
  readonly isEntangled: boolean;
}

/** Compares what a handler saw of its response. */
export function compareTraces(play: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  const { scenario, outlook } = play;
  const hasLeft = scenario.client.startsWith('leaves');
  if (!hasLeft && !play.isEntangled && scenario.client !== 'half-closes') expect('outcome', bare.outcome, dressed.outcome);
  const hasRefusedHead = refusesHead(bare);
  for (const [index, call] of bare.calls.entries()) {
    const other = dressed.calls[index];
    // Node checks the length from the second write on, where the first has brought the head. We do from the first.
    if (other?.result === 'threw ERR_HTTP_CONTENT_LENGTH_MISMATCH' && call.step.do === 'write' && call.result !== other.result) return;
    if (other) compareCalls(play, call, other, outlook.timed[call.at] === true, (kind, left, right) => {
      if (hasRefusedHead && kind.endsWith('statusMessage')) return;
      // Node's head is sent when it finds that the length is wrong, and ours is not.
      if (refusesLength(bare) && /(statusMessage|headersSent)$/.test(kind)) return;
      expect(kind, left, right);
    });
  }
  // Node leaves the connection corked where `end` refuses its chunk.
  if (!bare.calls.some(({ step, result }) => step.do === 'end' && result.startsWith('threw'))) expect('drains', drains(bare), drains(dressed));
  // A response that a half-closing client waits for, and that nothing ends.
  const isHalfDone = scenario.client === 'half-closes' && bare.last?.writableEnded === false;
  const isLeftToChance = isHalfDone || outlook.isCutAtEnd || outlook.isContested || outlook.isLateForHalfClose;
  if (hasLeft || play.isEntangled || isLeftToChance || outlook.timed.includes(true)) return;
  compareEvents(play, bare, dressed, expect);
  if (bare.last && dressed.last) compareSamples('at its end', bare.last, dressed.last, (['writableFinished', ...settled, ...fixed] as const).filter((name) => !(hasRefusedHead && name === 'statusMessage') && !(refusesLength(bare) && (name === 'statusMessage' || name === 'headersSent'))), expect);
}

function refusesLength(trace: Trace): boolean {
  return trace.calls.some(({ result }) => result === 'threw ERR_HTTP_CONTENT_LENGTH_MISMATCH');
}

/** Whether a head was refused: Node keeps its status text for the next one, so that it says '404 OK'. */
export function refusesHead(trace: Trace): boolean {
  return trace.calls.some(({ step, result }) => step.do === 'writeHead' && result.startsWith('threw'));
}

/** Whether Node is asked to be strict about the length behind the head, or a part of the body. It counts from there on. */
export function isStrictLater(steps: readonly Step[]): boolean {
  const strict = steps.findIndex((step) => step.do === 'strict');
  return strict >= 0 && steps.slice(0, strict).some((step) => step.do === 'write' || step.do === 'writeHead' || step.do === 'flushHeaders' || step.do === 'flush' || isPiping(step));
}

function drains(trace: Trace): string {
  return trace.events.filter((line) => line.startsWith('drain')).join(', ');
}

function compareCalls(play: Play, bare: Call, dressed: Call, isTimed: boolean, expect: Expect): void {
  const { step } = bare;
  const name = nameOfStep(step);
  const isOver = bare.sample.destroyed === true || play.outlook.isCut;
  // Bare Node has no flush, and what is called in its place knows nothing of a response that is gone.
  if (step.do === 'flush' && isOver) return;
  if (!mayAnswerOtherwise(play, bare, dressed, isTimed)) expect(`${name} gives`, bare.result, dressed.result);
  compareSamples(`after ${name}`, bare.sample, dressed.sample, isTimed ? fixed : [...settled, ...fixed], expect);
}

function mayAnswerOtherwise({ dressing, scenario, steps }: Play, bare: Call, dressed: Call, isTimed: boolean): boolean {
  const { step } = bare;
  if (isTimed || step.do === 'flush') return true;
  const isAnswered = [bare.result, dressed.result].every((result) => result === 'true' || result === 'false');
  // Whether there is room is another question where bytes wait for an encoder.
  if (step.do === 'write' && bare.sample.writableEnded === false && isAnswered) return true;
  // What is called on one that is gone, and how often it was ended.
  if (step.do === 'end' && bare.sample.destroyed === true) return true;
  // A write of nothing behind the end: Node's HTTP/1 throws, `compression` answers false, and so do we.
  if (step.do === 'write' && bare.sample.writableEnded === true && dressed.result === 'false' && (step.form === 'none' || step.chunk.kind === 'undefined')) return true;
  // Two faults at once: which of them is named first.
  if (bare.result.startsWith('threw') && dressed.result.startsWith('threw') && steps.some((each) => each.do === 'strict' || each.do === 'statusMessage')) return true;
  // What `compress` changes it has changed when the head is out. It stays behind a head that Node refused; another follows.
  return (bare.sample.headersSent === true || !isHttp2(scenario)) && readsTouched(step, bare.sample.headersSent === true && compresses(dressing) ? touched : touchedAlways);
}

/** Fields that `compress` may change. */
export const touched: ReadonlySet<string> = new Set(['content-encoding', 'content-length', 'transfer-encoding', 'vary', 'etag', 'accept-ranges']);

// Node does not show the length that it gives a body which comes whole. Where layers look at the head first it has to be set, and can be seen.
const touchedAlways: ReadonlySet<string> = new Set(['content-length', 'vary']);

function readsTouched(step: Step, names: ReadonlySet<string>): boolean {
  if (step.do === 'getHeaderNames' || step.do === 'getRawHeaderNames' || step.do === 'getHeaders') return true;
  return (step.do === 'getHeader' || step.do === 'hasHeader') && names.has(step.name.toLowerCase());
}

// What a response says of itself whenever it is asked.
const fixed: readonly (keyof Sample)[] = ['statusCode', 'writableLength'];

// What it says at a stage that the script fixes. Until its end, `writableFinished` tells whether the kernel has taken all.
const settled: readonly (keyof Sample)[] = ['headersSent', 'writableEnded', 'finished', 'destroyed', 'closed', 'statusMessage'];

function compareSamples(where: string, bare: Sample, dressed: Sample, names: readonly (keyof Sample)[], expect: Expect): void {
  for (const name of names) expect(`${where} ${name}`, plainly(bare[name]), plainly(dressed[name]));
}

/** HTTP/2 keeps a status as it was given, '204' or 200.9, until it goes out. */
function plainly(value: unknown): unknown {
  if (typeof value === 'string' && /^\d+$/.test(value)) return Number(value);
  return typeof value === 'number' && value > 1 ? Math.trunc(value) : value;
}

function compareEvents({ scenario, outlook, steps }: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  const list = (trace: Trace, test: (line: string) => boolean): string => ordered(scenario, trace).filter(test).join(', ');
  const same = (kind: string, test: (line: string) => boolean): void => expect(kind, list(bare, test), list(dressed, test));
  if (outlook.isCut || bare.outcome === 'left open') {
    // What had gone out when it was cut, and when that is told, is the encoder's business: each is called back once.
    const called = (trace: Trace): string => ordered(scenario, trace).filter(isOfWrite).map((line) => line.replace(/ called back.*/, '')).sort().join(', ');
    expect('callbacks', called(bare), called(dressed));
    // Node 20 emits 'finish' behind the 'close' of one that is ended when it is destroyed.
    const others = (trace: Trace): string => trace.events.filter((line, index) => !isOfWrite(line) && !isOfPipe(line) && !(line === 'finish' && trace.events.indexOf('close') < index)).join(', ');
    expect('events', others(bare), others(dressed));
    return;
  }
  // What has no bytes waits for none.
  const isOfEmpty = (line: string): boolean => steps.some((step, at) => step.do === 'write' && step.chunk.kind.startsWith('empty') && line.startsWith(`write #${at} `));
  same('callbacks of empty writes', isOfEmpty);
  same('events', (line) => !isOfPipe(line) && !isOfInterim(line) && !isFailure(line) && !isOfEmpty(line));
  // When what succeeds is told, against what fails at once, is the kernel's business.
  same('failures', (line) => !isOfPipe(line) && !isOfInterim(line) && isFailure(line) && !isOfEmpty(line));
  same('pipes', isOfPipe);
  // These go past an encoder.
  same('callbacks of 1xx', isOfInterim);
}

const isOfPipe = (line: string): boolean => line === 'pipe' || line === 'unpipe';
const isOfInterim = (line: string): boolean => /^write(EarlyHints|Continue|Processing) /.test(line);
const isOfWrite = (line: string): boolean => /^(write|end) #/.test(line);
const isFailure = (line: string): boolean => /[A-Z]{2,}_[A-Z_]+|Error/.test(line);

/** Events in an order that means something. */
function ordered(scenario: Scenario, { events, calls }: Trace): readonly string[] {
  const first = calls.find(({ step, result }) => (step.do === 'end' || step.do === 'send' || step.do === 'json') && !result.startsWith('threw'))?.at ?? Infinity;
  // A second `end` is told of its lateness at once where the kernel has all, else of the finish.
  const isLateEnd = (line: string): boolean => Number(/^end #(\d+) called back/.exec(line)?.[1] ?? -1) > first;
  const late = events.filter(isLateEnd).map((line) => line.replace(/ called back.*/, ' is TOO_LATE').replace('end', 'late end'));
  const others = events.filter((line) => !isLateEnd(line));
  // HTTP/2: where the head ends the stream, Node calls back before it emits 'finish', or behind it, as the head came with `end` or before it.
  const end = others.findIndex((line) => /^end #\d+ called back$/.test(line));
  const finish = others.indexOf('finish');
  if (isHttp2(scenario) && end >= 0 && finish === end + 1) [others[end], others[finish]] = [others[finish]!, others[end]!];
  return [...others, ...late.sort()];
}
