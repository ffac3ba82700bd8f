import { compareTraces, isHalfDone, withoutStrayDrains } from './compare-traces.ts';
import { compareWire, hasWrongLength } from './compare-wire.ts';
import { compareRefusals, isLost, isNoMeasure } from './measure.ts';
import { foresee, type Outlook, timedFromFirstWait } from './outlook.ts';
import { isHttp2, isPiping, type Scenario, setsLength } from './script.ts';
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
 * What differs between a bare response and a dressed one, beside what has to. Each allowance stands where it is made,
 * with its reason.
 *
 * | compared | in |
 * |---|---|
 * | what each call returns or throws, and when; what the response says of itself behind it | `compareTraces` |
 * | callbacks and events, and their order; each callback once | `compareEvents` |
 * | 'drain': that it comes when it is due, and else not; how often is the connection's business | `compareTraces` |
 * | status line, fields, body without its coding, trailers, 1xx | `compareWire`, `compareFields` |
 * | whether the message is complete, and the connection serves another request | `compareWire` |
 * | uncaught exceptions and unhandled rejections | here |
 */
export function differences(
  scenario: Scenario,
  dressing: Dressing,
  bare: Observation,
  dressed: Observation,
): Difference[] {
  const found: Difference[] = [];
  const expect: Expect = (kind, left, right) => {
    if (!Object.is(left, right)) found.push({ kind, bare: String(left), dressed: String(right) });
  };
  const comparison = new Comparison(scenario, dressing, bare, dressed, expect);
  comparison.run();
  return found;
}

class Comparison {
  readonly #scenario: Scenario;
  readonly #dressing: Dressing;
  readonly #bare: Observation;
  readonly #dressed: Observation;
  readonly #expect: Expect;
  /** Of the first script and the second. */
  readonly #outlooks: readonly [Outlook, Outlook];

  constructor(scenario: Scenario, dressing: Dressing, bare: Observation, dressed: Observation, expect: Expect) {
    this.#scenario = scenario;
    this.#dressing = dressing;
    this.#bare = bare;
    this.#dressed = dressed;
    this.#expect = expect;
    this.#outlooks = [foresee(scenario, scenario.steps), foresee(scenario, scenario.second)];
  }

  run(): void {
    const [bare, dressed] = [this.#bare, this.#dressed];
    if (isLost(this.#scenario, bare)) compareRefusals(bare, dressed, this.#expect);
    if (isLost(this.#scenario, bare) || isNoMeasure(this.#scenario, this.#dressing, bare)) {
      this.#expectNoneOfOurs();
      return;
    }
    if (this.#isNotStarted()) {
      this.#expectNoneOfOurs();
    } else {
      this.#compareUncaught();
      this.#expect('number of requests', bare.traces.length, dressed.traces.length);
    }
    this.#compareTraces();
    const isCut = this.#outlooks.some((outlook) => outlook.isCut);
    const journey = { scenario: this.#scenario, dressing: this.#dressing, isCut };
    if (!this.#isLeftToChance()) compareWire(journey, bare, dressed, this.#expect);
  }

  /** A request whose client is gone before its handler is called is not given to it. */
  #isNotStarted(): boolean {
    const { length } = this.#bare.traces;
    const refuses = this.#dressing === 'full' || this.#dressing === 'deadline';
    return refuses && this.#dressed.traces.length < length && this.#bare.messages[length - 1]?.complete !== true;
  }

  #compareTraces(): void {
    const { steps, second } = this.#scenario;
    // An exception that nothing catches ends a turn in its midst. A client of HTTP/2 resets what has a wrong length.
    const isDisturbed = this.#bare.uncaught.length > 0 || (isHttp2(this.#scenario) && steps.some(setsLength));
    this.#bare.traces.forEach((seen, index) => {
      const seenBehind = this.#dressed.traces[index];
      if (!seenBehind) return;
      const [trace, other] = withoutStrayDrains(seen, seenBehind);
      const script = index === 0 ? steps : second;
      const given = this.#outlooks[index === 0 ? 0 : 1];
      const isEntangled = index === 1 && this.#isEntangled();
      const outlook = isDisturbed || isEntangled ? timedFromFirstWait(given, script) : given;
      const play = { scenario: this.#scenario, dressing: this.#dressing, steps: script, outlook, isEntangled };
      compareTraces(play, trace, other, this.#expect);
    });
  }

  /**
   * When a pipelined response gets the connection, or whether, is for the one before it to say; to destroy it until
   * then
   * means another thing.
   */
  #isEntangled(): boolean {
    if (this.#scenario.client !== 'pipelines') return false;
    const { messages, traces } = this.#bare;
    const [first, second] = messages;
    if (!first || !second || hasWrongLength(first)) return true;
    return this.#outlooks.some((outlook) => outlook.isCut) || traces.some((trace) => trace.outcome === 'left open');
  }

  #isLeftToChance(): boolean {
    const { client } = this.#scenario;
    if (
      this.#bare.traces.some((trace) => isHalfDone(this.#scenario, trace)) ||
      client.startsWith('leaves') ||
      this.#isEntangled()
    )
      return true;
    return this.#outlooks.some((outlook) => outlook.isLeftToChance || (outlook.isCut && outlook.timed.includes(true)));
  }

  #compareUncaught(): void {
    const [left, right] = [this.#uncaught(this.#bare), this.#uncaught(this.#dressed)];
    const { steps, second } = this.#scenario;
    // Whether the process hears of a source whose write throws depends, on a bare response, on the turn in which it
    // does.
    const isOfSource = left.every((line) => /INVALID_STATUS_CODE|INVALID_CHAR/.test(line));
    if (right.length === 0 && isOfSource && [...steps, ...second].some(isPiping)) return;
    this.#expect('uncaught', left.join(', '), right.join(', '));
  }

  /** Whatever becomes of a response: nothing is uncaught that is caught without the library. */
  #expectNoneOfOurs(): void {
    const ours = this.#uncaught(this.#dressed).filter((each) => !this.#bare.uncaught.includes(each));
    this.#expect('uncaught', '', ours.join(', '));
  }

  /**
   * A write behind the end is an error that nothing listens to, or, where the response has closed by then, none. Of a
   * pipelined one, that is for the one before it to say.
   */
  #uncaught(seen: Observation): string[] {
    const { client, listens } = this.#scenario;
    const isLate = this.#outlooks.some((outlook) => outlook.timed.includes(true) || outlook.isContested);
    const mayDiffer = client === 'pipelines' || (!listens && (client.startsWith('leaves') || isLate));
    return seen.uncaught.filter((each) => !mayDiffer || !each.includes('WRITE_AFTER_END'));
  }
}
