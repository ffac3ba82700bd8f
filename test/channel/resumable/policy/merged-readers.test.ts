import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai';
import fc from 'fast-check';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { afterAll, describe, expect, it } from 'vitest';
import { frame } from '../../../../src/channel/delivery/framing.ts';
import { readCoalesce } from '../../../../src/channel/options.ts';
import { Publisher } from '../../../../src/channel/resumable/run/publisher.ts';
import { mergeDeltas, type NewEntry } from '../../../../src/index.ts';
import { EventParser } from '../../../support/event-parser.ts';

/** A moment in which what waits is published, as when its time is over. */
const pause = Symbol('pause');
type Item = object | string | typeof pause;

const coalesce = readCoalesce('coalesce', mergeDeltas({ ms: '1h' }));

let joined = 0;
afterAll(() => {
  // Else the readers have compared two copies of the same.
  expect(joined).toBeGreaterThan(100);
});

/** The entries that an answer of these items has in its log. */
async function publish(items: readonly Item[], isMerged: boolean): Promise<NewEntry[]> {
  const entries: NewEntry[] = [];
  const append = (entry: NewEntry): string => `1-${String(entries.push(entry))}`;
  const publisher = new Publisher(append, isMerged ? coalesce : undefined, (error) => {
    throw error;
  });
  for (const item of items) {
    if (item === pause) await publisher.flush();
    else await publisher.publish({ data: item });
  }
  await publisher.flush();
  return entries;
}

/** Asserts that a reader ends up with the same, with and without `mergeDeltas`. */
async function readsTheSame(items: readonly Item[], read: (entries: NewEntry[]) => unknown): Promise<void> {
  const [plain, merged] = [await publish(items, false), await publish(items, true)];
  joined += plain.length - merged.length;
  expect(await read(merged)).toEqual(await read(plain));
}

const parse = ({ data }: NewEntry): unknown => JSON.parse(data ?? '');
const text = fc.constantFrom('a', 'b ', '\n', '名', '{"', '"}', '\ud83d', '\ude00', '');
/** Often the same as before: only then is there something to join. */
const often = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...others) });
const withPauses = (item: fc.Arbitrary<object>): fc.Arbitrary<Item[]> =>
  fc.array(fc.oneof({ weight: 9, arbitrary: item }, { weight: 1, arbitrary: fc.constant(pause) }), { maxLength: 40 });

describe('a reader ends up with the same, joined or not:', () => {
  it('the stream helper of openai', async () => {
    const call = fc.record({
      index: fc.constantFrom(0, 1),
      id: fc.constant('call'),
      type: fc.constant('function'),
      function: fc.record({ name: fc.constant('f'), arguments: text }),
    });
    const delta = fc.oneof(
      { weight: 9, arbitrary: fc.record({ content: text, role: often(undefined, 'assistant', null) }) },
      { weight: 1, arbitrary: fc.record({ content: fc.constantFrom(null, 'a'), tool_calls: fc.tuple(call) }) },
      { weight: 1, arbitrary: fc.record({ content: fc.constantFrom('', 'a'), refusal: text }) },
      { weight: 1, arbitrary: fc.constant({}) },
    );
    const token = { token: 'a', logprob: -1, bytes: null, top_logprobs: [] };
    const choice = fc.record({
      index: often(0, 1),
      delta,
      finish_reason: often(null, 'stop', 'tool_calls'),
      logprobs: often(undefined, null, { content: [token], refusal: null }),
      content_filter_results: often(undefined, { hate: false }, { hate: true }),
    });
    const chunk = fc.record({
      id: fc.constant('c'),
      object: fc.constant('chat.completion.chunk'),
      created: often(1, 2),
      model: often('m', 'n'),
      system_fingerprint: often(undefined, 'f', 'g', null),
      usage: often(undefined, null, { total_tokens: 1 }, { total_tokens: 2 }),
      obfuscation: fc.constantFrom(undefined, 'x', 'yz'),
      choices: fc.oneof(
        { weight: 12, arbitrary: fc.tuple(choice) },
        { weight: 1, arbitrary: fc.tuple(choice, choice) },
        { weight: 1, arbitrary: fc.constant([]) },
      ),
    });
    const last = { id: 'c', object: 'chat.completion.chunk', created: 3, model: 'm', obfuscation: 'z' };
    const end = { ...last, choices: [0, 1].map((index) => ({ index, delta: {}, finish_reason: 'stop' })) };
    await fc.assert(fc.asyncProperty(withPauses(chunk), (chunks) => readsTheSame([...chunks, end], readCompletion)));
  });

  it('the reader of ai', async () => {
    const metadata = often(undefined, { p: { n: 1 } }, { p: { n: 2 } });
    const piece = fc.oneof(
      {
        weight: 9,
        arbitrary: fc.record({
          type: often('text-delta'),
          id: often('1', '2'),
          delta: text,
          providerMetadata: metadata,
        }),
      },
      { weight: 3, arbitrary: fc.record({ type: fc.constant('reasoning-delta'), id: fc.constant('r'), delta: text }) },
      {
        weight: 3,
        arbitrary: fc.record({
          type: fc.constant('tool-input-delta'),
          toolCallId: often('t', 'u'),
          inputTextDelta: text,
        }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('data-note'), data: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('message-metadata'), messageMetadata: fc.nat() }) },
    );
    const opening = [
      { type: 'start', messageId: 'm' },
      ...['1', '2'].map((id) => ({ type: 'text-start', id })),
      { type: 'reasoning-start', id: 'r' },
      ...['t', 'u'].map((toolCallId) => ({ type: 'tool-input-start', toolCallId, toolName: 'search' })),
    ];
    const closing = [
      ...['1', '2'].map((id) => ({ type: 'text-end', id })),
      { type: 'reasoning-end', id: 'r' },
      { type: 'tool-input-available', toolCallId: 't', toolName: 'search', input: { q: 1 } },
      { type: 'finish' },
    ];
    await fc.assert(
      fc.asyncProperty(withPauses(piece), (pieces) => readsTheSame([...opening, ...pieces, ...closing], readMessage)),
    );
  });

  it('an event stream of texts', async () => {
    const piece = fc.constantFrom('a', 'b ', '名', '', '\n', '\r', '\r\n', '{"n":1}', '"a"', '[', ']', '[DONE]');
    const items = fc.array(fc.oneof({ weight: 9, arbitrary: piece }, { weight: 1, arbitrary: fc.constant(pause) }), {
      minLength: 20,
      maxLength: 40,
    });
    await fc.assert(fc.asyncProperty(items, (texts) => readsTheSame(texts, readText)));
  });
});

/** What the stream helper has put together at the end. */
async function readCompletion(entries: NewEntry[]): Promise<unknown> {
  const lines = entries.map((entry) => `${entry.data ?? ''}\n`).join('');
  const stream = ChatCompletionStream.fromReadableStream(new Blob([lines]).stream());
  let last: unknown;
  stream.on('chunk', (_chunk, snapshot) => (last = structuredClone(snapshot)));
  // It may refuse the whole at the end: what it was is what counts.
  await stream.done().catch(() => undefined);
  expect(last).toBeDefined();
  return last;
}

async function readMessage(entries: NewEntry[]): Promise<unknown> {
  let last: UIMessage | undefined;
  const stream = ReadableStream.from(entries.map(parse)) as ReadableStream<UIMessageChunk>;
  const onError = (error: unknown): void => {
    throw error;
  };
  for await (const message of readUIMessageStream({ stream, onError })) last = structuredClone(message);
  expect(last?.parts.length).toBeGreaterThan(4);
  return last;
}

function readText(entries: NewEntry[]): string {
  const parser = new EventParser();
  for (const entry of entries) parser.push(Buffer.from(frame('answer', '1-1', entry)));
  return parser.events.map(({ data }) => data).join('');
}
