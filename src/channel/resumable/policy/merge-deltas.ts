import type { AnyChannelInput } from '../../delivery/event.ts';

/** A piece of text in an event. */
interface Delta {
  readonly text: string;
  /** The event with another text. */
  with(text: string): AnyChannelInput;
}

/** A piece of text in the data of an event. */
interface DataDelta {
  readonly text: string;
  with(text: string): unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The piece of text in an event that may be joined with its neighbours: plain text, `text-delta`, `reasoning-delta` and
 * `tool-input-delta` of the AI SDK, and chunks of OpenAI whose `content` is all that they add. `undefined`: there is
 * none.
 */
export function deltaOf({ event, data }: AnyChannelInput): Delta | undefined {
  const delta = typeof data === 'string' ? textDelta(data) : isFields(data) && (partDelta(data) ?? chunkDelta(data));
  if (!delta) return undefined;
  return { text: delta.text, with: (text) => ({ event, data: delta.with(text) }) };
}

/** Two events are joined if they have the same key: they are alike but for their texts. `undefined`: with none. */
export function keyOf(input: AnyChannelInput): string | undefined {
  const { data } = input;
  // A line break of CR and LF that is in two pieces is two line breaks.
  if (typeof data === 'string' && (isWhole(data) || data.includes('\r'))) return undefined;
  const delta = deltaOf(input);
  return delta && JSON.stringify(delta.with(''));
}

/** Any text: one that was joined may look like a whole by now. */
function textDelta(text: string): DataDelta {
  return { text, with: (joined) => joined };
}

/** The first and the last character of JSON that is more than a word or a number. */
const marks: readonly string[] = ['{}', '[]', '""'];

/** Whether a text is no piece of one: the last data of a protocol, or JSON that the application has made. */
function isWhole(text: string): boolean {
  if (text === '[DONE]') return true;
  const trimmed = text.trim();
  if (!marks.includes(trimmed.slice(0, 1) + trimmed.slice(-1))) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** By the type of a part: the field with its text. */
const parts: Readonly<Record<string, string>> = {
  'text-delta': 'delta',
  'reasoning-delta': 'delta',
  'tool-input-delta': 'inputTextDelta',
};

function partDelta(part: Fields): DataDelta | undefined {
  const { type } = part;
  const field = typeof type === 'string' && Object.hasOwn(parts, type) ? parts[type] : undefined;
  const text = field === undefined ? undefined : part[field];
  if (field === undefined || typeof text !== 'string') return undefined;
  return { text, with: (joined) => ({ ...part, [field]: joined }) };
}

/** Fields of a chunk and of a choice that readers add up, or wait for: they belong to one chunk alone. */
const aloneInChunk = ['usage', 'error'] as const;
const aloneInChoice = ['finish_reason', 'logprobs'] as const;

function chunkDelta(chunk: Fields): DataDelta | undefined {
  const { choices } = chunk;
  if (!Array.isArray(choices) || choices.length !== 1 || !aloneInChunk.every((name) => isEmpty(chunk[name])))
    return undefined;
  const choice: unknown = choices[0];
  if (!isFields(choice) || !aloneInChoice.every((name) => isEmpty(choice[name]))) return undefined;
  const { delta } = choice;
  if (!isFields(delta) || typeof delta['content'] !== 'string') return undefined;
  if (!Object.keys(delta).every((name) => name === 'content' || name === 'role' || isEmpty(delta[name])))
    return undefined;
  return {
    text: delta['content'],
    with: (content) => ({
      ...chunk,
      // Random characters that hide the length of one piece.
      obfuscation: undefined,
      choices: [{ ...choice, delta: { ...delta, content } }],
    }),
  };
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/** A plain object. One of a class, or with a `toJSON`, may be something else in the log. */
function isFields(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Of any realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
