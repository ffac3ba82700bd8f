import { expect, it } from 'vitest';
import { frame } from '../../../../src/channel/delivery/framing.ts';
import { endEntry, readEnd } from '../../../../src/channel/policy/answer.ts';

const done = 'data: [DONE]\n\n';
const part = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;
const fault = (errorText: string): string => part({ type: 'error', errorText }) + done;
const failure = (message: string, code: string): string => part({ error: { message, type: 'server_error', code } });

it.each([
  ['answer', 'done', 'id: 1\nevent: sluice.end\ndata: {"status":"done"}\n\n'],
  ['answer', 'cancelled', 'id: 1\nevent: sluice.end\ndata: {"status":"cancelled"}\n\n'],
  ['ui-message', 'done', done],
  ['ui-message', 'cancelled', part({ type: 'abort' }) + done],
  ['ui-message', 'failed', fault('The answer failed')],
  ['ui-message', 'interrupted', fault('The answer was interrupted')],
  ['openai', 'done', done],
  ['openai', 'cancelled', done],
  ['openai', 'failed', failure('The answer failed', 'answer_failed')],
  ['openai', 'interrupted', failure('The answer was interrupted', 'answer_interrupted')],
] as const)('%s tells how an answer ended: %s', (framing, status, text) => {
  // What the generator returned is for the server alone.
  expect(frame(framing, '1', endEntry({ status, value: { secret: 1 } }))).toBe(text);
});

it.each([
  ['answer', 'id: 1\ndata: a\n\n', 'event: sluice.reset\ndata: {}\n\n'],
  ['ui-message', 'data: a\n\n', fault('A part of the answer is not kept any more')],
  ['openai', 'data: a\n\n', failure('A part of the answer is not kept any more', 'answer_gap')],
] as const)('%s sends entries, and tells of missing ones', (framing, text, reset) => {
  expect(frame(framing, '1', { data: 'a' })).toBe(text);
  expect(frame(framing, undefined, { event: 'sluice.reset', data: '{}' })).toBe(reset);
});

it('tells clients without names that they were cut, and nothing of an event without data', () => {
  const cut = { event: 'sluice.disconnect', data: '{"reason":"x"}' };
  expect(frame('openai', undefined, cut)).toBe(failure('The connection was closed', 'answer_disconnected'));
  expect(frame('ui-message', '1', { event: 'x' })).toBe('');
  expect(frame('answer', '1', { event: 'x' })).toBe('id: 1\nevent: x\ndata:\n\n');
});

it('an end that cannot be read is one that broke off', () => {
  const records = [undefined, 'x', 'null', '{"status":"odd"}'].map((data) => readEnd(data));
  expect(records).toEqual(Array(4).fill({ status: 'interrupted' }));
  expect(readEnd('{"status":"done","value":1}')).toEqual({ status: 'done', value: 1 });
});
