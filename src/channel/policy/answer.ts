import { formatEvent } from '../../internal/format/event-stream.ts';
import type { NewEntry } from '../log/backplane.ts';

/**
 * How an answer of `resumable` looks on the wire.
 *
 * - `answer`: events with ids, the end as an event `sluice.end`
 * - `ui-message`: the parts of a UI message stream of the AI SDK
 * - `openai`: the chunks of a chat completion
 */
export type AnswerFraming = 'answer' | 'ui-message' | 'openai';

/** How a run came to its end. */
export type RunStatus = 'done' | 'cancelled' | 'failed' | 'interrupted';

/** The name of the last entry of a run. */
export const endEvent = 'sluice.end';

/** What the last entry of a run holds. */
export interface EndRecord {
  readonly status: RunStatus;
  /** What the generator returned, if JSON can hold it and it is not too large. Not sent to clients. */
  readonly value?: unknown;
}

export function endEntry(record: EndRecord): NewEntry {
  return { event: endEvent, data: JSON.stringify(record), isJson: true, isEnd: true };
}

/** What a client is told of an answer that is not whole. The error itself may hold secrets. */
const faults: Readonly<Partial<Record<RunStatus, string>>> = {
  failed: 'The answer failed',
  interrupted: 'The answer was interrupted',
};

/** Events that tell a client of its channel. To clients that know no names they are errors. */
const notices: Readonly<Record<string, string>> = {
  'sluice.reset': 'A part of the answer is not kept any more',
  'sluice.disconnect': 'The connection was closed',
};

const doneText = 'data: [DONE]\n\n';

type Body = Pick<NewEntry, 'event' | 'data' | 'isEnd'>;

/** The text of an entry of an answer, without an id. The clients of all but `answer` know no names. */
export function frameAnswer(framing: AnswerFraming, { event, data, isEnd }: Body): string {
  if (isEnd === true) return frameEnd(framing, statusOf(data));
  if (framing === 'answer') return formatEvent(data === undefined ? { event } : { event, data });
  const notice = event !== undefined && Object.hasOwn(notices, event) ? notices[event] : undefined;
  if (notice !== undefined) return frameFault(framing, notice, event === 'sluice.reset' ? 'gap' : 'disconnected');
  return data === undefined ? '' : formatEvent({ data });
}

/** Whether clients know ids. Those of the AI SDK and of OpenAI do not; they also stop at an error, such as a gap. */
export function hasCursor(framing: string): boolean {
  return framing !== 'ui-message' && framing !== 'openai';
}

function frameEnd(framing: AnswerFraming, status: RunStatus): string {
  if (framing === 'answer') return formatEvent({ event: endEvent, data: { status } });
  const fault = faults[status];
  if (fault !== undefined) return frameFault(framing, fault, status);
  const mark = framing === 'ui-message' && status === 'cancelled' ? formatEvent({ data: { type: 'abort' } }) : '';
  return mark + doneText;
}

function frameFault(framing: AnswerFraming, message: string, code: string): string {
  if (framing === 'ui-message') return formatEvent({ data: { type: 'error', errorText: message } }) + doneText;
  // The `openai` SDK takes `[DONE]` as a whole answer: none comes after an error.
  return formatEvent({ data: { error: { message, type: 'server_error', code: `answer_${code}` } } });
}

const statuses: readonly unknown[] = ['done', 'cancelled', 'failed', 'interrupted'] satisfies RunStatus[];

/** Of the data of a last entry. One that cannot be read was not written by a run that is done. */
export function statusOf(data: string | undefined): RunStatus {
  return readEnd(data).status;
}

export function readEnd(data: string | undefined): EndRecord {
  try {
    const record = JSON.parse(data ?? '') as Partial<EndRecord> | null;
    if (record && statuses.includes(record.status)) return record as EndRecord;
  } catch {
    // Told as an answer that broke off.
  }
  return { status: 'interrupted' };
}
