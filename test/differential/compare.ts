import { compareTraces, isStrictLater } from './compare-traces.ts';
import { compareWire, hasWrongLength } from './compare-wire.ts';
import type { Call, Trace } from './interpreter.ts';
import { foresee, type Outlook } from './outlook.ts';
import { isHttp2, isPiping, type Scenario, type Step } from './script.ts';
import type { Dressing, Observation } from './site.ts';

/** One thing that is not alike. */
export interface Difference {
  /** What it is, without numbers that say nothing: the same for the same cause. */
  readonly kind: string;
  readonly bare: string;
  readonly dressed: string;
}

/** Notes a difference. */
export type Expect = (kind: string, bare: unknown, dressed: unknown) => void;

export function compresses(dressing: Dressing): boolean {
  return dressing === 'compress' || dressing === 'full';
}

/**
 * What differs between a bare response and a dressed one, beside what has to: each allowance stands where it is made, with its reason.
 *
 * | compared | where |
 * |---|---|
 * | what each call returns or throws, and when | `compareTraces` |
 * | what the response says of itself behind each call, and at its end | `compareTraces` |
 * | callbacks and events, and their order; 'drain' comes when it is due, and else not, however often that is | `compareTraces` |
 * | status line, fields, body without its coding, trailers, 1xx | `compareWire` |
 * | whether the message is complete, and the connection serves another request | `compareWire` |
 * | uncaught exceptions and unhandled rejections | here |
 */
export function differences(scenario: Scenario, dressing: Dressing, bare: Observation, dressed: Observation): Difference[] {
  const found: Difference[] = [];
  const expect: Expect = (kind, left, right) => {
    if (!Object.is(left, right)) found.push({ kind, bare: String(left), dressed: String(right) });
  };
  const outlooks = [foresee(scenario, scenario.steps), foresee(scenario, scenario.second)] as const;
  // A request whose client is gone before its handler is called is not given to it.
  const isNotStarted = dressed.traces.length < bare.traces.length && (dressing === 'full' || dressing === 'deadline') && bare.messages[bare.traces.length - 1]?.complete !== true;
  if (isLost(scenario, bare)) compareRefusals(bare, dressed, expect);
  if (isLost(scenario, bare) || isNoMeasure(scenario, dressing, bare)) {
    expectNoneOfOurs({ scenario, outlooks }, bare, dressed, expect);
    return found;
  }
  if (isNotStarted) expectNoneOfOurs({ scenario, outlooks }, bare, dressed, expect);
  else {
    compareUncaught({ scenario, outlooks }, bare, dressed, expect);
    expect('number of requests', bare.traces.length, dressed.traces.length);
  }
  const isHalfDone = scenario.client === 'half-closes' && bare.traces.some((trace) => trace.last?.writableEnded === false);
  // An exception that nothing catches ends a turn in its midst.
  const isDisturbed = bare.uncaught.length > 0;
  const isEntangled = scenario.client === 'pipelines' && entangles(bare, outlooks);
  bare.traces.forEach((trace, index) => {
    const other = dressed.traces[index];
    const outlook = outlooks[index === 0 ? 0 : 1];
    const steps = index === 0 ? scenario.steps : scenario.second;
    const isThrown = isDisturbed || (isEntangled && index === 1);
    if (other) compareTraces({ scenario, dressing, steps, outlook: isThrown ? timedFromWait(outlook, steps) : outlook, isEntangled: isEntangled && index === 1 }, trace, other, expect);
  });
  const isLeftToChance = outlooks.some((outlook) => outlook.isCutAtEnd || outlook.isContested || outlook.isLateForHalfClose || (outlook.isCut && outlook.timed.includes(true)));
  if (!isEntangled && !isLeftToChance && !isHalfDone && !scenario.client.startsWith('leaves')) compareWire({ scenario, dressing, isCut: outlooks.some((outlook) => outlook.isCut) }, bare, dressed, expect);
  return found;
}

interface Prospect {
  readonly scenario: Scenario;
  readonly outlooks: readonly Outlook[];
}

function compareUncaught(prospect: Prospect, bare: Observation, dressed: Observation, expect: Expect): void {
  const [left, right] = [uncaught(prospect, bare), uncaught(prospect, dressed)];
  const { steps, second } = prospect.scenario;
  // Whether the process hears of a source whose write throws depends, on a bare response, on the turn in which it does.
  if (right.length === 0 && [...steps, ...second].some(isPiping) && left.every((line) => /INVALID_STATUS_CODE|INVALID_CHAR/.test(line))) return;
  expect('uncaught', left.join(', '), right.join(', '));
}

/** Whatever becomes of a response: nothing is uncaught that is caught without the library. */
function expectNoneOfOurs(prospect: Prospect, bare: Observation, dressed: Observation, expect: Expect): void {
  expect('uncaught', '', uncaught(prospect, dressed).filter((each) => !bare.uncaught.includes(each)).join(', '));
}

/**
 * A write behind the end is an error that nothing listens to, or, where the response has closed by then, none. Of a pipelined one,
 * that is for the one before it to say.
 */
function uncaught({ scenario, outlooks }: Prospect, seen: Observation): string[] {
  const isLate = outlooks.some((outlook) => outlook.timed.includes(true) || outlook.isContested);
  const mayDiffer = scenario.client === 'pipelines' || (!scenario.listens && (scenario.client.startsWith('leaves') || isLate));
  return seen.uncaught.filter((each) => !mayDiffer || !each.includes('WRITE_AFTER_END'));
}

// When a pipelined response gets the connection, or whether, is for the one before it to say; to destroy it until then means another thing.
function entangles(bare: Observation, outlooks: readonly Outlook[]): boolean {
  const [first, second] = bare.messages;
  return !first || !second || hasWrongLength(first) || outlooks.some((outlook) => outlook.isCut) || bare.traces.some((trace) => trace.outcome === 'left open');
}

/** What it sees depends on others from its first wait on. */
function timedFromWait(outlook: Outlook, steps: readonly Step[]): Outlook {
  const wait = steps.findIndex((step) => step.do === 'wait');
  return { ...outlook, timed: outlook.timed.map((isTimed, at) => isTimed || (wait >= 0 && at > wait)) };
}

/** Whether what a bare response does with a length, or lacks, is no measure for one behind the library. */
function isNoMeasure(scenario: Scenario, dressing: Dressing, bare: Observation): boolean {
  const scripts = [scenario.steps, scenario.second];
  const refuses = (code: string): boolean => linesOf(bare).some((line) => line.includes(code));
  // A field that promises trailers beside a length, which a coding takes away.
  if (compresses(dressing) && scenario.version === '1.1' && refuses('ERR_HTTP_TRAILER_INVALID')) return true;
  // Node counts bytes from where it was asked to be strict, and the first that a source writes not at all. To one that is destroyed nothing is sent.
  const isStrictOddly = (steps: readonly Step[]): boolean => isStrictLater(steps) || (steps.some((step) => step.do === 'strict') && steps.some((step) => isPiping(step) || step.do === 'destroy'));
  if (scripts.some(isStrictOddly) && (refuses('ERR_HTTP_CONTENT_LENGTH_MISMATCH') || scripts.some(isStrictLater))) return true;
  // Node 22 sends the end of a body before what is corked.
  if (process.version.startsWith('v22.') && bare.hasRest && scripts.flat().some((step) => step.do === 'cork')) return true;
  // Node counts the bytes of a write that it refuses, too.
  if (scripts.some((steps) => steps.some((step) => step.do === 'strict')) && refuses('ERR_HTTP_CONTENT_LENGTH_MISMATCH') && bare.traces.some((trace) => trace.calls.some(({ step, result }) => step.do === 'write' && result.startsWith('threw')))) return true;
  // Node leaves the connection corked where `end` refuses its chunk, until another `end`: what is written is not sent, and a source waits for ever.
  const isRefused = ({ step, result }: Call): boolean => step.do === 'end' && result.startsWith('threw');
  const isEnded = ({ step, result }: Call): boolean => step.do === 'end' && !result.startsWith('threw');
  return bare.traces.some(({ calls }, index) => calls.some(isRefused) && (!calls.some(isEnded) || (scripts[index] ?? []).some(isPiping)));
}

function linesOf(seen: Observation): string[] {
  return [...seen.traces.flatMap((trace) => [...trace.events, ...trace.calls.map((call) => call.result)]), ...seen.uncaught];
}

const lost = /ERR_HTTP2_(INVALID_CONNECTION_HEADERS|HEADER_SINGLE_VALUE|STATUS_INVALID)/;
// Node's HTTP/2 fails with an error of its own where the fields are `null`.
const failed = /TypeError: Cannot convert undefined or null to object/;

/**
 * Whether Node has lost its way. HTTP/2: it says that it has ended when it throws for what HTTP/2 has not, and can then neither be ended
 * nor used. HTTP/1: when it throws for an encoding that there is not, it has written the size of the chunk. (Bytes need none: we do not ask.)
 */
function isLost(scenario: Scenario, bare: Observation): boolean {
  // A source whose write throws is destroyed, and says nothing.
  if (isHttp2(scenario) && scenario.steps.some(isPiping) && scenario.steps.some(isUnfit)) return true;
  return linesOf(bare).some((line) => lost.test(line) || failed.test(line) || line.includes('ERR_UNKNOWN_ENCODING'));
}

/** A field that HTTP/2 has not, or only once. */
function isUnfit(step: Step): boolean {
  if (step.do === 'appendHeader') return step.name !== 'Set-Cookie' && !step.name.startsWith('X-');
  return step.do === 'setHeader' && (step.value === 'list' || ['Connection', 'Transfer-Encoding'].includes(step.name));
}

function compareRefusals(bare: Observation, dressed: Observation, expect: Expect): void {
  const first = (trace: Trace | undefined): string | undefined => trace?.calls.find(({ result }) => lost.test(result))?.result;
  // Of an ETag in two lines one is made when it is weakened, and a length goes.
  const isChanged = bare.traces[0]?.calls.some(({ step }) => 'name' in step && (step.name === 'ETag' || step.name === 'Content-Length'));
  const hasFailed = bare.traces[0]?.calls.some(({ result }) => failed.test(result));
  if (isChanged !== true && hasFailed !== true) expect('refused', first(bare.traces[0]), first(dressed.traces[0]));
}
