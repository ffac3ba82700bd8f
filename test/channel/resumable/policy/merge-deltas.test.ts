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

describe('pieces of text are joined', () => {
  it.each<[string, unknown, unknown, unknown]>([
    ['strings', { data: 'a' }, { data: 'b' }, { data: 'ab' }],
    ['with a name', { event: 't', data: 'a' }, { event: 't', data: 'b' }, { event: 't', data: 'ab' }],
    ['parts', { data: text('a') }, { data: text('b') }, { data: text('ab') }],
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
      'chunks with empty fields',
      { data: chunk({ content: 'a', tool_calls: null }, { usage: null }, { logprobs: null }) },
      { data: chunk({ content: 'b' }) },
      { data: chunk({ content: 'ab', tool_calls: null }, { usage: null }, { logprobs: null }) },
    ],
  ])('%s', (_name, one, two, joined) => {
    expect([key(one), key(two) === key(one)]).toEqual([expect.any(String), true]);
    expect(merge(one, two)).toEqual(joined);
  });

  it.each<[string, unknown, unknown]>([
    ['of two names', { event: 't', data: 'a' }, { data: 'b' }],
    ['of two texts', { data: text('a') }, { data: { ...text('b'), id: '2' } }],
    ['of two kinds', { data: text('a') }, { data: { ...text('b'), type: 'reasoning-delta' } }],
    ['of two choices', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, {}, { index: 1 }) }],
    ['of two answers', { data: chunk({ content: 'a' }) }, { data: chunk({ content: 'b' }, { id: 'c2' }) }],
    ['of a string and a part', { data: 'a' }, { data: text('b') }],
  ])('not %s', (_name, one, two) => {
    expect(key(one)).not.toBe(key(two));
  });

  it.each<[string, unknown]>([
    ['the last data', { data: '[DONE]' }],
    ['an object', { data: { n: 1 } }],
    ['a list', { data: ['a'] }],
    ['nothing', { event: 'x' }],
    ['another part', { data: { type: 'text-start', id: '1' } }],
    ['a name of every object', { data: { type: 'constructor', id: '1', delta: 'a' } }],
    ['a part with metadata', { data: text('a', { providerMetadata: {} }) }],
    ['the role', { data: chunk({ role: 'assistant', content: '' }) }],
    ['a call of a tool', { data: chunk({ content: 'a', tool_calls: [{}] }) }],
    ['the end', { data: chunk({ content: 'a' }, {}, { finish_reason: 'stop' }) }],
    ['the usage', { data: chunk({ content: 'a' }, { usage: {} }) }],
    ['no choice', { data: { id: 'c1', choices: [] } }],
    ['what is no choice', { data: { id: 'c1', choices: [null] } }],
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
