import type { AnyChannelInput } from '../../delivery/event.ts';

/** A piece of text in an event: which text it belongs to, and how it is replaced. */
interface Delta {
  /** Pieces with the same name belong together. */
  readonly name: string;
  readonly text: string;
  /** The event with another text. */
  with(text: string): AnyChannelInput;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The events that may be joined with their neighbours: plain text, `text-delta`, `reasoning-delta` and
 * `tool-input-delta` of the AI SDK, and chunks of OpenAI that hold nothing but `content`. `undefined`: no piece of
 * text.
 */
export function deltaOf({ event, data }: AnyChannelInput): Delta | undefined {
  if (typeof data === 'string') {
    // The last data of an answer, by the protocols of OpenAI and of the AI SDK.
    if (data === '[DONE]') return undefined;
    return { name: `text ${event ?? ''}`, text: data, with: (text) => ({ event, data: text }) };
  }
  if (!isFields(data)) return undefined;
  const delta = partDelta(data) ?? chunkDelta(data);
  if (!delta) return undefined;
  return { ...delta, name: `${delta.name} ${event ?? ''}`, with: (text) => ({ event, data: delta.replace(text) }) };
}

interface DataDelta {
  readonly name: string;
  readonly text: string;
  replace(text: string): Fields;
}

/** By the type of a part: the fields with its id and its text. */
const parts: Readonly<Record<string, readonly [id: string, text: string]>> = {
  'text-delta': ['id', 'delta'],
  'reasoning-delta': ['id', 'delta'],
  'tool-input-delta': ['toolCallId', 'inputTextDelta'],
};

function partDelta(part: Fields): DataDelta | undefined {
  const { type } = part;
  const [idField, textField] = (typeof type === 'string' && Object.hasOwn(parts, type) && parts[type]) || [];
  if (idField === undefined || textField === undefined) return undefined;
  const [id, text] = [part[idField], part[textField]];
  // More fields, such as metadata of a provider, belong to this part alone.
  if (typeof id !== 'string' || typeof text !== 'string' || Object.keys(part).length !== 3) return undefined;
  return { name: `${String(type)} ${id}`, text, replace: (joined) => ({ type, [idField]: id, [textField]: joined }) };
}

/** Fields of a choice that are empty in a chunk that holds text alone. */
const emptyInChoice = ['finish_reason', 'logprobs'] as const;

function chunkDelta(chunk: Fields): DataDelta | undefined {
  const { choices, id } = chunk;
  if (!Array.isArray(choices) || choices.length !== 1) return undefined;
  // The usage, and an error, belong to this chunk alone.
  if (!isEmpty(chunk['usage']) || !isEmpty(chunk['error'])) return undefined;
  const choice: unknown = choices[0];
  if (!isFields(choice) || !isFields(choice['delta'])) return undefined;
  const { content, ...others } = choice['delta'];
  if (typeof content !== 'string' || !Object.values(others).every(isEmpty)) return undefined;
  if (!emptyInChoice.every((field) => isEmpty(choice[field]))) return undefined;
  const { delta } = choice;
  return {
    name: `chunk ${typeof id === 'string' ? id : ''} ${String(choice['index'])}`,
    text: content,
    replace: (joined) => ({ ...chunk, choices: [{ ...choice, delta: { ...delta, content: joined } }] }),
  };
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
