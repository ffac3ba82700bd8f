import { isCutting, isEnding, isHttp2, isPiping, type Scenario, type Step } from './script.ts';

/**
 * What a script leaves to chance: when an ended response finishes is the connection's business, and the encoder's; so
 * is
 * when a client that leaves is missed. What comes behind that, and does not wait for it, meets it at any stage, on a
 * bare
 * response too.
 */
export interface Outlook {
  /** Of each step, whether it meets the response at a stage that the script does not fix. */
  readonly timed: readonly boolean[];
  /** The response is destroyed: what had gone out by then is the encoder's business. */
  readonly isCut: boolean;
  /** A source ends the response, and so does the script, or writes: which comes first is for the encoder to say. */
  readonly isContested: boolean;
  /**
   * Even whether it is whole, and finishes: it is contested; or ended and destroyed without a wait between; or its
   * client
   * half-closes, and it takes more than the turn of its request. Node ends its socket when it reads the FIN.
   */
  readonly isLeftToChance: boolean;
}

export function foresee(scenario: Scenario, steps: readonly Step[]): Outlook {
  const contested = isContested(steps, timing(scenario, steps, false));
  const isLate = scenario.client === 'half-closes' && !isPrompt(steps);
  return {
    timed: timing(scenario, steps, contested),
    isCut: steps.some(isCutting),
    isContested: contested,
    isLeftToChance: contested || isLate || cutsAtEnd(scenario, steps),
  };
}

/** As that of a response that depends on others from its first wait on. */
export function timedFromFirstWait(outlook: Outlook, steps: readonly Step[]): Outlook {
  const wait = steps.findIndex((step) => step.do === 'wait');
  return { ...outlook, timed: outlook.timed.map((isTimed, at) => isTimed || (wait >= 0 && at > wait)) };
}

/** @param mayNeverFinish - for another reason than that it is destroyed */
function timing(scenario: Scenario, steps: readonly Step[], mayNeverFinish: boolean): boolean[] {
  const hasLeaver = scenario.client.startsWith('leaves');
  // From here on its end may come at any time.
  let canEnd = hasLeaver || scenario.client === 'half-closes';
  let isCut = canEnd || mayNeverFinish;
  let isTimed = false;
  return steps.map((step) => {
    // Over HTTP/2 a write behind the end destroys the stream: now, or when an encoder has sent its end.
    if (canEnd && isChunk(step) && isHttp2(scenario)) isTimed = true;
    if (isCutting(step)) isCut = true;
    if (isEnding(step) || isCutting(step)) canEnd = true;
    if (step.do !== 'wait') return isTimed;
    if (hasLeaver) isTimed = true;
    else if (step.for === 'finish' || step.for === 'close') isTimed = false;
    // The finish may never come.
    else if (step.for !== 'within finish' || isCut) isTimed ||= canEnd;
    return isTimed;
  });
}

/** Whether a step writes; `end` does so with a chunk. */
function isChunk(step: Step): boolean {
  return step.do === 'write' || (step.do === 'end' && step.form !== 'none' && step.form !== 'callback');
}

function cutsAtEnd(scenario: Scenario, steps: readonly Step[]): boolean {
  let hasEnded = false;
  let isCut = false;
  for (const step of steps) {
    if (hasEnded && isChunk(step) && isHttp2(scenario)) return true;
    if (isEnding(step) && !(isPiping(step) && step.fails)) hasEnded = true;
    if (isCutting(step)) isCut = true;
    if (hasEnded && isCut) return true;
    if (step.do === 'wait' && (step.for === 'finish' || step.for === 'close')) hasEnded = false;
  }
  return false;
}

const changes: ReadonlySet<Step['do']> = new Set([
  'write',
  'end',
  'send',
  'json',
  'addTrailers',
  'writeHead',
  'setHeader',
  'setHeaders',
  'appendHeader',
  'removeHeader',
  'statusCode',
  'contentLength',
]);

function isContested(steps: readonly Step[], timed: readonly boolean[]): boolean {
  return steps.some((piping, piped) => {
    if (!isPiping(piping)) return false;
    const source = steps.findIndex((step, at) => at > piped && step.do === 'wait' && step.for === 'source');
    const isUnderway = (at: number): boolean => at > piped && (source < 0 || at < source);
    const contests = (step: Step, at: number): boolean => {
      if (isEnding(step) || isPiping(step))
        return isUnderway(at) || (isEnding(piping) && (at > piped || isEnding(step)));
      return isUnderway(at) && (step.do === 'write' || (timed[at] === true && changes.has(step.do)));
    };
    return steps.some((step, at) => at !== piped && contests(step, at));
  });
}

/** Whether a script ends its response in the turn of its request. */
function isPrompt(steps: readonly Step[]): boolean {
  const end = steps.findIndex((step) => isEnding(step) && !isPiping(step));
  const waits = (step: Step): boolean => step.do === 'wait' && step.for !== 'microtask' && step.for !== 'nextTick';
  return end >= 0 && !steps.slice(0, end).some((step) => isPiping(step) || waits(step));
}
