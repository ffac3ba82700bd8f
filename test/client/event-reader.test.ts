import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEventReader } from '../../src/client/event-reader.ts';
import type { Outcome } from '../../src/client/policy/outcome.ts';
import { EventParser, type ParsedEvent } from '../support/event-parser.ts';

interface Read {
  readonly events: ParsedEvent[];
  readonly lastEventId: string;
  readonly retries: number[];
  readonly outcome: Outcome | undefined;
  readonly end: Outcome | undefined;
}

/** Reads pieces to the end, and keeps the last id as a connection does. */
function read(pieces: readonly Uint8Array[], maxBufferSize = Infinity): Read {
  const [events, retries]: [ParsedEvent[], number[]] = [[], []];
  let lastEventId = '';
  const reader = createEventReader(
    {
      onEvent(type, data, id = lastEventId) {
        lastEventId = id;
        events.push({ type, data, lastEventId });
      },
      onId: (id) => (lastEventId = id),
      onRetry: (delay) => retries.push(delay),
    },
    maxBufferSize,
  );
  let outcome: Outcome | undefined;
  for (const piece of pieces) outcome ??= reader.push(piece);
  return { events, lastEventId, retries, outcome, end: outcome ? undefined : reader.end() };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function split(all: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.map((cut) => cut % (all.length + 1)).toSorted((a, b) => a - b), all.length];
  return at.slice(1).map((to, index) => all.subarray(at[index], to));
}

describe('the reader of events', () => {
  it('reads what a parser by the letter reads, in any pieces', () => {
    const line = fc.oneof(
      fc.constantFrom(
        '',
        '',
        ':',
        ': hello',
        'data',
        'data:',
        'data: ',
        'id',
        'id: 7',
        'id:8',
        'id: a\0b',
        'event',
        'retry: 50',
      ),
      fc.constantFrom(
        'retry: x',
        'foo: bar',
        'data: {"n":1}',
        'data:  two',
        'data: Grüße 🌊',
        'event: tick',
        'idx: 1',
        'data : x',
      ),
    );
    const stream = fc.array(fc.tuple(line, fc.constantFrom('\n', '\n', '\r\n', '\r')), { maxLength: 30 });
    fc.assert(
      fc.property(stream, fc.array(fc.nat(500), { maxLength: 8 }), fc.boolean(), (lines, cuts, hasBom) => {
        const all = bytes((hasBom ? '\ufeff' : '') + lines.map((each) => each.join('')).join(''));
        const expected = new EventParser().push(all);
        const { events, lastEventId, retries } = read(split(all, cuts));
        expect(events).toEqual(expected.events);
        expect(lastEventId).toBe(expected.lastEventId);
        expect(retries).toEqual(expected.retries);
      }),
    );
  });

  it.each([
    ['complete', 'data: 1\n\n', false],
    ['complete after a comment', 'data: 1\n\n:\n', false],
    ['complete after a hint', 'data: 1\n\nretry: 10\n', false],
    ['partial in a line', 'data: 1\n\nda', true],
    ['partial in an event', 'data: 1\n\ndata: 2\n', true],
    ['partial after an id', 'data: 1\n\nid: 2\r\n', true],
    ['partial after a name', 'data: 1\n\nevent: x\r', true],
    ['complete and empty', '', false],
  ])('says that a body is %s', (_name, text, isPartial) => {
    const { end, events } = read([bytes(text)]);
    expect(end).toEqual({ kind: 'ended', isPartial });
    expect(events).toHaveLength(text === '' ? 0 : 1);
  });

  it('knows the farewell, with its blank line or at the end of the body', () => {
    expect(read([bytes('data: 1\n\nid: sluice.stop\n\n')]).outcome).toEqual({ kind: 'stopped' });
    expect(read([bytes('data: 1\n\nid: sluice.stop\n')])).toMatchObject({
      outcome: undefined,
      end: { kind: 'stopped' },
    });
    // An id that begins so, and one that an event carries, are ids.
    expect(read([bytes('id: sluice.stopped\n\n')]).lastEventId).toBe('sluice.stopped');
    expect(read([bytes('id: sluice.stop\ndata: 1\n\n')])).toMatchObject({
      outcome: undefined,
      events: [{ data: '1' }],
    });
  });

  it('refuses an event that is too long, and takes a long stream of short ones', () => {
    const long = read([bytes('data: 1\n\n'), bytes(`data: ${'x'.repeat(60)}`), bytes('x'.repeat(60))], 100);
    expect(long.outcome).toMatchObject({ kind: 'failed', error: { code: 'ERR_SLUICE_CLIENT_EVENT_TOO_LARGE' } });
    expect(long.events).toHaveLength(1);
    const lines = Array.from({ length: 10 }, () => bytes(`data: ${'x'.repeat(30)}\n`));
    expect(read(lines, 100).outcome).toMatchObject({ kind: 'failed' });
    const short = read(
      Array.from({ length: 100 }, () => bytes('data: 12345\n\n')),
      100,
    );
    expect([short.outcome, short.events.length]).toEqual([undefined, 100]);
  });
});
