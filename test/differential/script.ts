import type { ArgumentForm, ChunkSpec, Encoding } from './chunks.ts';
import type { FieldSetForm, FieldValue, HeadForm, StatusValue, TrailerForm } from './heads.ts';

// What a handler may do to a response, as data: the same script runs on a bare response and on one behind the library.

export interface WriteStep {
  readonly do: 'write' | 'end';
  readonly form: ArgumentForm;
  readonly chunk: ChunkSpec;
  readonly encoding: Encoding;
}

export interface PipeStep {
  readonly do: 'pipe' | 'pipeline';
  readonly chunks: readonly ChunkSpec[];
  /** Whether the source fails behind its last chunk. */
  readonly fails: boolean;
  /** Whether `pipe` leaves the response open. */
  readonly open: boolean;
}

/**
 * What a script waits for. `source`: all sources that it pipes. `finish` goes on when 'close' is over, `within finish`
 * in the event.
 */
export type Wait = 'nextTick' | 'microtask' | 'immediate' | 'drain' | 'source' | 'finish' | 'within finish' | 'close';

export type Step =
  | WriteStep
  | PipeStep
  | { readonly do: 'writeHead'; readonly form: HeadForm }
  | { readonly do: 'statusCode'; readonly value: StatusValue }
  | { readonly do: 'statusMessage'; readonly value: string }
  | { readonly do: 'setHeader' | 'appendHeader'; readonly name: string; readonly value: FieldValue }
  | { readonly do: 'removeHeader' | 'getHeader' | 'hasHeader'; readonly name: string }
  | { readonly do: 'setHeaders'; readonly form: FieldSetForm }
  | { readonly do: 'addTrailers'; readonly form: TrailerForm }
  | {
      readonly do:
        | ('getHeaderNames' | 'getRawHeaderNames' | 'getHeaders')
        | ('flushHeaders' | 'flush' | 'cork' | 'uncork' | 'strict');
    }
  | { readonly do: 'contentLength'; readonly length: 'right' | 'short' | 'long' }
  | { readonly do: 'writeEarlyHints' | 'writeContinue' | 'writeProcessing'; readonly callback: boolean }
  /** Express' own. */
  | { readonly do: 'send'; readonly chunk: ChunkSpec }
  | { readonly do: 'json'; readonly size: number }
  | { readonly do: 'destroy'; readonly error: boolean }
  | { readonly do: 'wait'; readonly for: Wait };

/** What the client does, beside reading all. */
export type ClientKind = 'reads' | 'half-closes' | 'slow' | 'leaves at once' | 'leaves at the head' | 'pipelines';

export type CarrierName = 'http1' | 'http2' | 'express5' | 'express4';

export interface Scenario {
  readonly carrier: CarrierName;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly version: '1.1' | '1.0';
  readonly connection: 'none' | 'close' | 'keep-alive';
  /** `Accept-Encoding`; none where it is empty. */
  readonly accepts: string;
  readonly client: ClientKind;
  /** The Content-Type that is set before the script begins. */
  readonly type: string | undefined;
  /** Whether the handler listens to 'error'. */
  readonly listens: boolean;
  readonly steps: readonly Step[];
  /** Of the second request, where the client sends two in one go. */
  readonly second: readonly Step[];
}

/** The plainest one. */
export const plain: Scenario = {
  carrier: 'http1',
  method: 'GET',
  version: '1.1',
  connection: 'none',
  accepts: 'gzip',
  client: 'reads',
  type: 'application/json',
  listens: true,
  steps: [],
  second: [],
};

export function isHttp2({ carrier }: Scenario): boolean {
  return carrier === 'http2';
}

export function isPiping(step: Step): step is PipeStep {
  return step.do === 'pipe' || step.do === 'pipeline';
}

/** Whether a step ends the body, if it is not refused. */
export function isEnding(step: Step): boolean {
  return (
    step.do === 'end' ||
    step.do === 'send' ||
    step.do === 'json' ||
    (isPiping(step) && !(step.do === 'pipe' && step.open))
  );
}

/** Whether a step destroys the response. */
export function isCutting(step: Step): boolean {
  return step.do === 'destroy' || (isPiping(step) && step.fails);
}

/** The step, in a few words. */
export function nameOfStep(step: Step): string {
  if ('form' in step) return `${step.do}(${step.form})`;
  return 'name' in step ? `${step.do}(${step.name})` : step.do;
}

/** Whether a step may set a length that is not that of the body. */
export function setsLength(step: Step): boolean {
  return step.do === 'contentLength' || ('name' in step && step.name === 'Content-Length');
}
