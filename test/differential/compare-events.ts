import type { Expect } from './compare.ts';
import type { Play } from './compare-traces.ts';
import { isEnding, isHttp2, type Step } from './script.ts';
import { threw, type Trace } from './trace.ts';

/** Compares what a handler was told, of a script that leaves nothing to chance. */
export function compareEvents(play: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  if (play.outlook.isCut || bare.outcome === 'left open') compareCut(play, bare, dressed, expect);
  else compareWhole(play, bare, dressed, expect);
}

/** What had gone out when it was cut, and when that is told, is the encoder's business: each is called back once. */
function compareCut(play: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  const called = (trace: Trace): string => {
    const lines = ordered(play, trace).filter(isOfWrite);
    return lines
      .map((line) => line.replace(/ called back.*/, ''))
      .sort()
      .join(', ');
  };
  expect('callbacks', called(bare), called(dressed));
  // Node 20 emits 'finish' behind the 'close' of one that is ended when it is destroyed.
  const isLate = (trace: Trace, at: number): boolean =>
    trace.events[at] === 'finish' && trace.events.indexOf('close') < at;
  const others = (trace: Trace): string =>
    trace.events.filter((line, at) => !isOfWrite(line) && !isOfPipe(line) && !isLate(trace, at)).join(', ');
  expect('events', others(bare), others(dressed));
}

function compareWhole(play: Play, bare: Trace, dressed: Trace, expect: Expect): void {
  const same = (kind: string, test: (line: string) => boolean): void => {
    const list = (trace: Trace): string => ordered(play, trace).filter(test).join(', ');
    expect(kind, list(bare), list(dressed));
  };
  // What has no bytes waits for none.
  const isEmpty = (step: Step): boolean => step.do === 'write' && step.chunk.kind.startsWith('empty');
  const isOfEmpty = (line: string): boolean =>
    play.steps.some((step, at) => isEmpty(step) && line.startsWith(`write #${at} `));
  const isApart = (line: string): boolean => isOfPipe(line) || isOfInterim(line) || isOfEmpty(line);
  same('events', (line) => !isApart(line) && !isFailure(line));
  // When what succeeds is told, against what fails at once, is the kernel's business.
  same('failures', (line) => !isApart(line) && isFailure(line));
  same('pipes', isOfPipe);
  // These go past an encoder.
  same('callbacks of 1xx', isOfInterim);
  same('callbacks of empty writes', isOfEmpty);
}

const isOfPipe = (line: string): boolean => line === 'pipe' || line === 'unpipe';
const isOfInterim = (line: string): boolean => /^write(EarlyHints|Continue|Processing) /.test(line);
const isOfWrite = (line: string): boolean => /^(write|end) #/.test(line);
const isFailure = (line: string): boolean => /[A-Z]{2,}_[A-Z_]+|Error/.test(line);

/** Events in an order that means something. */
function ordered({ scenario }: Play, { events, calls }: Trace): readonly string[] {
  const first = calls.find((call) => isEnding(call.step) && !threw(call))?.at ?? Infinity;
  // A second `end` is told of its lateness at once where the kernel has all, else of the finish.
  const isLateEnd = (line: string): boolean => Number(/^end #(\d+) called back/.exec(line)?.[1] ?? -1) > first;
  const late = events.filter(isLateEnd).map((line) => `late ${line.replace(/ called back.*/, ' is TOO_LATE')}`);
  const others = events.filter((line) => !isLateEnd(line));
  // HTTP/2: where the head ends the stream, Node calls back before it emits 'finish', or behind it, as the head came
  // with `end` or before it.
  const end = others.findIndex((line) => /^end #\d+ called back$/.test(line));
  const finish = others.indexOf('finish');
  if (isHttp2(scenario) && end >= 0 && finish === end + 1) {
    [others[end], others[finish]] = [others[finish]!, others[end]!];
  }
  return [...others, ...late.sort()];
}
