import { compresses, type Expect } from './compare.ts';
import { isHttp2, isPiping, type Scenario, type Step } from './script.ts';
import type { Dressing, Observation } from './site.ts';
import { type Call, threw, type Trace } from './trace.ts';

// Where Node itself goes wrong, or looks at something that is not there behind the library, a bare response is no
// measure.

const refusedByHttp2 = /ERR_HTTP2_(INVALID_CONNECTION_HEADERS|HEADER_SINGLE_VALUE|STATUS_INVALID)/;
// Node's HTTP/2 fails with an error of its own where the fields are `null`.
const failedOnNull = /TypeError: Cannot convert undefined or null to object/;

/**
 * Whether Node has lost its way. HTTP/2: it says that it has ended when it throws for what HTTP/2 has not, and can then
 * neither be ended nor used. HTTP/1: when it throws for an encoding that there is not, it has written the size of the
 * chunk. (Bytes need none: the library does not ask.)
 */
export function isLost(scenario: Scenario, bare: Observation): boolean {
  // A source whose write throws is destroyed, and says nothing.
  if (isHttp2(scenario) && scenario.steps.some(isPiping) && scenario.steps.some(isUnfit)) return true;
  const isOne = (line: string): boolean =>
    refusedByHttp2.test(line) || failedOnNull.test(line) || line.includes('ERR_UNKNOWN_ENCODING');
  return linesOf(bare).some(isOne);
}

/** A field that HTTP/2 has not, or only once. */
function isUnfit(step: Step): boolean {
  if (step.do === 'appendHeader') return step.name !== 'Set-Cookie' && !step.name.startsWith('X-');
  return step.do === 'setHeader' && (step.value === 'list' || ['Connection', 'Transfer-Encoding'].includes(step.name));
}

/** HTTP/2: what is refused is refused at the same call, with the same error. */
export function compareRefusals(bare: Observation, dressed: Observation, expect: Expect): void {
  const [left, right] = [bare.traces[0], dressed.traces[0]];
  const first = (trace: Trace | undefined): string | undefined =>
    trace?.calls.find(({ result }) => refusedByHttp2.test(result))?.result;
  // Of an ETag in two lines one is made when it is weakened, and a length goes.
  const isTouched = ({ step }: Call): boolean => 'name' in step && ['ETag', 'Content-Length'].includes(step.name);
  const hasFailed = left?.calls.some(({ result }) => failedOnNull.test(result));
  if (left?.calls.some(isTouched) !== true && hasFailed !== true) expect('refused', first(left), first(right));
}

/** Whether what a bare response does is no measure for one behind the library. */
export function isNoMeasure(scenario: Scenario, dressing: Dressing, bare: Observation): boolean {
  const refuses = (code: string): boolean => linesOf(bare).some((line) => line.includes(code));
  // A field that promises trailers beside a length, which a coding takes away.
  if (compresses(dressing) && scenario.version === '1.1' && refuses('ERR_HTTP_TRAILER_INVALID')) return true;
  if (refuses('ERR_HTTP_CONTENT_LENGTH_MISMATCH') && countsOddly(scenario, bare)) return true;
  return [scenario.steps, scenario.second].some(isStrictLater) || leavesCorked(scenario, bare);
}

/** Whether Node counts other bytes than those of the body. */
function countsOddly({ steps, second }: Scenario, bare: Observation): boolean {
  const isRefusedWrite = (call: Call): boolean => call.step.do === 'write' && threw(call);
  // Those of a write that it refuses, too; not the first that a source writes; and to one that is destroyed nothing is
  // sent.
  if (bare.traces.some(({ calls }) => calls.some(isRefusedWrite))) return true;
  return [...steps, ...second].some((step) => isPiping(step) || step.do === 'destroy');
}

/**
 * Whether Node is asked to be strict about the length behind the head, or a part of the body: it counts from there on,
 * and
 * the library looks at the head.
 */
function isStrictLater(steps: readonly Step[]): boolean {
  const strict = steps.findIndex((step) => step.do === 'strict');
  const begins = (step: Step): boolean =>
    ['write', 'writeHead', 'flushHeaders', 'flush'].includes(step.do) || isPiping(step);
  return strict >= 0 && steps.slice(0, strict).some(begins);
}

function leavesCorked({ steps, second }: Scenario, bare: Observation): boolean {
  const scripts = [steps, second];
  // Node 22 sends the end of a body before what is corked.
  const isNode22 = process.version.startsWith('v22.');
  if (isNode22 && bare.hasRest && scripts.flat().some((step) => step.do === 'cork')) return true;
  // Node leaves the connection corked where `end` refuses its chunk, until another `end`: what is written is not sent,
  // and a source waits for ever.
  return bare.traces.some(({ calls }, index) => {
    const ends = calls.filter(({ step }) => step.do === 'end');
    const isPiped = scripts[index]?.some(isPiping) === true;
    return ends.some(threw) && (isPiped || ends.every(threw));
  });
}

function linesOf({ traces, uncaught }: Observation): string[] {
  return [...traces.flatMap(({ events, calls }) => [...events, ...calls.map(({ result }) => result)]), ...uncaught];
}
