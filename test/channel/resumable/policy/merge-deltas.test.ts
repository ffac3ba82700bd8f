import { describe, expect, it } from 'vitest';
import { InvalidOptionError, mergeDeltas } from '../../../../src/index.ts';

const { key, merge } = mergeDeltas();

const chunk = (delta: object, more: object = {}, choice: object = {}): object => ({
  id: 'c1',
  object: 'chat.completion.chunk',
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: null, ...choice }],
  ...more,
});
const text = (delta: string, more: object = {}): object => ({ type: 'text-delta', id: '1', delta, ...more });
const fields = { system_fingerprint: 'f', usage: null };

describe('pieces of text are joined', () => {
  it.each<[string, unknown, unknown, unknown]>([
    ['strings', { data: 'a' }, { data: 'b' }, { data: 'ab' }],
    ['strings that look like JSON', { data: '{"a' }, { data: '":}' }, { data: '{"a":}' }],
    ['with a name', { event: 't', data: 'a' }, { event: 't', data: 'b' }, { event: 't', data: 'ab' }],
    ['parts', { data: text('a') }, { data: text('b') }, { data: text('ab') }],
    [
      'parts with metadata',
      { data: text('a', { providerMetadata: { p: { n: 1 } } }) },
      { data: text('b', { providerMetadata: { p: { n: 1 } } }) },
      { data: text('ab', { providerMetadata: { p: { n: 1 } } }) },
    ],
    [
      'thoughts',
      { data: { type: 'reasoning-delta', id: '1', delta: 'a' } },
      { data: { type: 'reasoning-delta', id: '1', delta: 'b' } },
      { data: { type: 'reasoning-delta', id: '1', delta: 'ab' } },
    ],
    [
      'input of a tool',
      { data: { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: '{' } },
      { data: { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: '}' } },
      { data: { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: '{}' } },
    ],
    [
      'chunks',
      { data: chunk({ content: 'a' }) },
      { data: chunk({ content: 'b' }) },
      { data: chunk({ content: 'ab' }) },
    ],
    [
      'chunks that have more in common',
      { data: chunk({ role: 'assistant', content: 'a', tool_calls: [] }, fields, { logprobs: null }) },
      { data: chunk({ role: 'assistant', content: 'b', tool_calls: [] }, fields, { logprobs: null }) },
      { data: chunk({ role: 'assistant', content: 'ab', tool_calls: [] }, fields, { logprobs: null }) },
    ],
    [
      'chunks with padding, which goes',
      { data: chunk({ content: 'a' }, { obfuscation: 'x' }) },
      { data: chunk({ content: 'b' }, { obfuscation: 'yz' }) },
      { data: chunk({ content: 'ab' }) },
    ],
  ])('%s', (_name, one, two, joined) => {
    expect([key(one), key(two) === key(one)]).toEqual([expect.any(String), true]);
    expect(merge(one, two)).toEqual(joined);
  });

  it.each<[string, unknown, unknown]>([
    ['of two names', { event: 't', data: 'a' }, { data: 'b' }],
    ['of two texts', { data: text('a') }, { data: { ...text('b'), id: '2' } }],
    ['of a text and a name that read the same', { event: 'x', data: text('a') }, { data: { ...text('b'), id: '1 x' } }],
    ['of two kinds', { data: text('a') }, { data: { ...text('b'), type: 'reasoning-delta' } }],
    ['with other metadata', { data: text('a') }, { data: text('b', { providerMetadata: { p: { n: 1 } } }) }],
    ['of two choices', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, {}, { index: 1 }) }],
    ['of two answers', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, { id: 'c2' }) }],
    ['of two models', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, { model: 'n' }) }],
    ['with a field more', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, fields) }],
    ['with a role', { data: chunk({ content: 'a' }) }, { data: chunk({ role: 'assistant', content: 'b' }) }],
    [
      'with a field more of the choice',
      { data: chunk({ content: 'a' }) },
      { data: chunk({ content: 'b' }, {}, { content_filter_results: {} }) },
    ],
    ['of a string and a part', { data: 'a' }, { data: text('b') }],
  ])('not %s', (_name, one, two) => {
    expect([key(one), key(two)]).toEqual([expect.any(String), expect.any(String)]);
    expect(key(one)).not.toBe(key(two));
  });

  it.each<[string, unknown]>([
    ['the last data', { data: '[DONE]' }],
    ['the JSON of an object', { data: '{"type":"text-delta","id":"1","delta":"a"}' }],
    ['the JSON of a list', { data: ' ["a"]\n' }],
    ['the JSON of a text', { data: '"a"' }],
    ['a break of a line that may be half a one', { data: 'a\r' }],
    ['an object', { data: { n: 1 } }],
    ['a list', { data: ['a'] }],
    ['nothing', { event: 'x' }],
    ['another part', { data: { type: 'text-start', id: '1' } }],
    ['a name of every object', { data: { type: 'constructor', id: '1', delta: 'a' } }],
    ['a part that says what its JSON is', { data: text('a', { toJSON: () => 1 }) }],
    ['a part of a class', { data: Object.assign(Object.create({ n: 1 }), text('a')) }],
    ['a refusal', { data: chunk({ content: 'a', refusal: 'b' }) }],
    ['a call of a tool', { data: chunk({ content: 'a', tool_calls: [{}] }) }],
    ['the end', { data: chunk({ content: 'a' }, {}, { finish_reason: 'stop' }) }],
    ['probabilities', { data: chunk({ content: 'a' }, {}, { logprobs: { content: [] } }) }],
    ['the usage', { data: chunk({ content: 'a' }, { usage: {} }) }],
    ['no choice', { data: { id: 'c1', choices: [] } }],
    ['what is no choice', { data: { id: 'c1', choices: [null] } }],
    ['what has no delta', { data: { id: 'c1', choices: [{ index: 0 }] } }],
    ['an error', { data: chunk({ content: 'a' }, { error: {} }) }],
  ])('%s stays alone', (_name, event) => {
    expect(key(event)).toBeUndefined();
  });
});

it('has options', () => {
  expect([mergeDeltas().ms, mergeDeltas({ ms: '1s' }).ms]).toEqual([40, 1000]);
  expect(() => mergeDeltas({ ms: 0 })).toThrow(InvalidOptionError);
  expect(() => mergeDeltas({ delay: 1 } as object)).toThrow('Did you mean `ms`?');
});
