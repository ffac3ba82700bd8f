import { compresses, type Expect } from './compare.ts';
import { compareEvents } from './compare-events.ts';
import { touched, touchedAlways } from './compare-fields.ts';
import type { Outlook } from './outlook.ts';
import { isHttp2, nameOfStep, type Scenario, type Step } from './script.ts';
import type { Dressing } from './site.ts';
import { type Call, type Sample, threw, type Trace } from './trace.ts';

/** A script, and what is known of it. */
export interface Play {
  readonly scenario: Scenario;
  readonly dressing: Dressing;
  readonly steps: readonly Step[];
  readonly outlook: Outlook;
  /** Its connection is another response's, which leaves to chance when it gets it. */
  readonly isEntangled: boolean;
}

/** Compares what a handler saw of its response. */
export function compareTraces(play: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  const { scenario, outlook } = play;
  const hasLeft = scenario.client.startsWith('leaves');
  if (!hasLeft && !play.isEntangled && scenario.client !== 'half-closes')
    expect('outcome', bare.outcome, dressed.outcome);
  for (const [index, call] of bare.calls.entries()) {
    const other = dressed.calls[index];
    // Node checks the length from the second write on, where the first has brought the head. We do from the first.
    if (other && isRefusedSooner(call, other)) return;
    if (other) compareCalls(play, call, other, sparing(bare, expect));
  }
  // Node leaves the connection corked where `end` refuses its chunk: no 'drain' comes.
  if (!bare.calls.some((call) => call.step.do === 'end' && threw(call)))
    expect('drains', drains(bare), drains(dressed));
  if (
    hasLeft ||
    play.isEntangled ||
    isHalfDone(scenario, bare) ||
    outlook.isLeftToChance ||
    outlook.timed.includes(true)
  )
    return;
  compareEvents(play, bare, dressed, expect);
  if (!bare.last || !dressed.last) return;
  compareSamples(
    'at its end',
    bare.last,
    dressed.last,
    ['writableFinished', ...settled, ...fixed],
    sparing(bare, expect),
  );
}

/** Whether a half-closing client waits for the response, and nothing ends it before the connection closes. */
export function isHalfDone(scenario: Scenario, bare: Trace): boolean {
  return scenario.client === 'half-closes' && !bare.events.includes('finish');
}

/** Without a 'drain' that Node owes to no write: it may emit one on a response that was destroyed and is written to. */
export function withoutStrayDrains(bare: Trace, dressed: Trace): readonly [Trace, Trace] {
  const stray = 'drain that nothing waits for';
  if (!bare.events.includes(stray)) return [bare, dressed];
  const strip = (trace: Trace): Trace => ({ ...trace, events: trace.events.filter((event) => event !== stray) });
  return [strip(bare), strip(dressed)];
}

function isRefusedSooner(bare: Call, dressed: Call): boolean {
  return bare.step.do === 'write' && dressed.result === 'threw ERR_HTTP_CONTENT_LENGTH_MISMATCH' && !threw(bare);
}

/** Without what Node leaves behind when it refuses something. */
function sparing(bare: Trace, expect: Expect): Expect {
  const isOfHead = refusesHead(bare);
  // Its head is sent when it finds that the length is wrong, and ours is not.
  const isOfLength = bare.calls.some(({ result }) => result === 'threw ERR_HTTP_CONTENT_LENGTH_MISMATCH');
  return (kind, left, right) => {
    if ((isOfHead || isOfLength) && kind.endsWith('statusMessage')) return;
    if (isOfLength && kind.endsWith('headersSent')) return;
    expect(kind, left, right);
  };
}

/** Whether a head was refused: Node keeps its status text for the next one, so that it says '404 OK'. */
export function refusesHead(trace: Trace): boolean {
  return trace.calls.some((call) => call.step.do === 'writeHead' && threw(call));
}

function drains(trace: Trace): string {
  return trace.events.filter((line) => line.startsWith('drain')).join(', ');
}

function compareCalls(play: Play, bare: Call, dressed: Call, expect: Expect): void {
  const { step } = bare;
  const isTimed = play.outlook.timed[bare.at] === true;
  // Bare Node has no flush, and what is called in its place knows nothing of a response that is gone.
  if (step.do === 'flush' && (bare.sample.destroyed === true || play.outlook.isCut)) return;
  const name = nameOfStep(step);
  if (!mayAnswerOtherwise(play, bare, dressed, isTimed)) {
    const names = namesToLeaveOut(play, bare);
    expect(`${name} gives`, resultOf(bare, names), resultOf(dressed, names));
  }
  compareSamples(`after ${name}`, bare.sample, dressed.sample, isTimed ? fixed : [...settled, ...fixed], expect);
}

function mayAnswerOtherwise({ steps }: Play, bare: Call, dressed: Call, isTimed: boolean): boolean {
  const { step, sample } = bare;
  if (isTimed || step.do === 'flush') return true;
  if (step.do === 'write') {
    const isAnswered = [bare, dressed].every(({ result }) => result === 'true' || result === 'false');
    // Whether there is room is another question where bytes wait for an encoder.
    if (sample.writableEnded === false && isAnswered) return true;
    // A write of nothing behind the end: Node's HTTP/1 throws, `compression` answers false, and so do we.
    const isNothing = step.form === 'none' || step.chunk.kind === 'undefined';
    return isNothing && sample.writableEnded === true && dressed.result === 'false';
  }
  // What is called on one that is gone, and how often it was ended.
  if (step.do === 'end' && sample.destroyed === true) return true;
  if (step.do === 'writeHead' && sample.destroyed === undefined && steps.some((each) => each.do === 'destroy'))
    return true;
  // Two faults at once: which of them is named first.
  const areTwo = steps.some((each) => each.do === 'strict' || each.do === 'statusMessage');
  return areTwo && threw(bare) && threw(dressed);
}

/**
 * What `compress` changes it has changed when the head is out; some of it stays behind a head that Node refused, and
 * another follows.
 */
function namesToLeaveOut({ dressing, scenario }: Play, { sample }: Call): ReadonlySet<string> {
  if (sample.headersSent === true) return compresses(dressing) ? touched : touchedAlways;
  return isHttp2(scenario) ? new Set() : touchedAlways;
}

/**
 * The result of a call, without the fields of these names, and without `:status`: over HTTP/2 Node lists it once the
 * head is out, which waits for an encoder here.
 */
function resultOf({ step, result }: Call, names: ReadonlySet<string>): string {
  if (step.do === 'getHeader' || step.do === 'hasHeader') return names.has(step.name.toLowerCase()) ? '' : result;
  const isList = step.do === 'getHeaderNames' || step.do === 'getRawHeaderNames';
  if ((!isList && step.do !== 'getHeaders') || result.startsWith('threw')) return result;
  const fields = JSON.parse(result) as string[] | Record<string, unknown>;
  const left = Object.entries(fields).filter(
    ([name, value]) => !names.has(String(isList ? value : name).toLowerCase()) && !name.startsWith(':'),
  );
  return JSON.stringify(isList ? left.map(([, value]) => value as string) : Object.fromEntries(left));
}

// What a response says of itself whenever it is asked.
const fixed: readonly (keyof Sample)[] = ['statusCode', 'writableLength'];

// What it says at a stage that the script fixes. Until its end, `writableFinished` tells whether the kernel has taken
// all.
const settled: readonly (keyof Sample)[] = [
  'headersSent',
  'writableEnded',
  'finished',
  'destroyed',
  'closed',
  'statusMessage',
];

function compareSamples(
  where: string,
  bare: Sample,
  dressed: Sample,
  names: readonly (keyof Sample)[],
  expect: Expect,
): void {
  for (const name of names) expect(`${where} ${name}`, plainly(bare[name]), plainly(dressed[name]));
}

/** HTTP/2 keeps a status as it was given, '204' or 200.9, until it goes out. */
function plainly(value: unknown): unknown {
  if (typeof value === 'string' && /^\d+$/.test(value)) return Number(value);
  return typeof value === 'number' && value > 1 ? Math.trunc(value) : value;
}
