import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { closeError } from '../../../src/errors.ts';
import type { HttpResponse } from '../../../src/index.ts';
import type { WriteResult } from '../../../src/internal/writer/chunk-queue.ts';
import { SharedText } from '../../../src/internal/seam/segment.ts';
import { Outbox, type OutboxOptions, type OutboxSink } from '../../../src/internal/writer/outbox.ts';
import { settles, turns } from '../../support/until.ts';

type Chunk = string | Uint8Array;

/** A response that remembers what was written to it, and answers as it is told to. */
class Sink implements OutboxSink {
  readonly events = new EventEmitter();
  readonly written: Chunk[] = [];
  readonly answers: WriteResult[] = [];
  readonly numbers = { writableLength: 0, writableHighWaterMark: 100 };
  readonly res = Object.assign(this.events, this.numbers) as unknown as HttpResponse;
  readonly seam = { sendDirect: (): boolean => false };
  /** The number of chunks that were written before the head. */
  openedAt: number | undefined;
  onWrite: (() => void) | undefined;

  open(): void {
    this.openedAt ??= this.written.length;
  }

  writeChunk(chunk: Chunk): WriteResult {
    this.written.push(chunk);
    this.onWrite?.();
    return this.answers.shift() ?? 'room';
  }
}

function openOutbox(options: Partial<OutboxOptions> = {}): { sink: Sink; outbox: Outbox } {
  const sink = new Sink();
  return { sink, outbox: new Outbox(sink, { maxBuffered: 1000, overflow: 'close', ...options }) };
}

/** An outbox whose client lags. */
function lag(options: Partial<OutboxOptions> = {}): { sink: Sink; outbox: Outbox } {
  const opened = openOutbox(options);
  opened.sink.answers.push('full');
  void opened.outbox.push('first');
  opened.outbox.flush();
  return opened;
}

const tickEnd = (): Promise<void> => new Promise((resolve) => void process.nextTick(resolve));

describe('an outbox', () => {
  it('writes the texts of one tick at once, behind the head', async () => {
    const { sink, outbox } = openOutbox();
    void outbox.push('one ');
    void outbox.push('two ');
    void outbox.push('three');
    expect([sink.written, sink.openedAt]).toEqual([[], undefined]);
    await tickEnd();
    expect([sink.written, sink.openedAt]).toEqual([['one two three'], 0]);
  });

  it('writes a segment of a shared text at once, unless something waits before it', async () => {
    const { sink, outbox } = openOutbox();
    const text = new SharedText();
    const segments = ['one', 'two', 'three'].map((each) => text.append(each));
    await outbox.push(segments[0]!);
    expect([sink.written, sink.openedAt]).toEqual([[segments[0]], 0]);
    void outbox.push('private');
    void outbox.push(segments[1]!);
    expect(sink.written.length).toBe(1);
    await tickEnd();
    expect(sink.written).toEqual([segments[0], 'private', segments[1]]);
    sink.answers.push('full');
    void outbox.push(segments[2]!);
    void outbox.push(segments[2]!);
    expect(sink.written.length).toBe(4);
    outbox.recover();
    expect(sink.written.slice(4)).toEqual([segments[2]]);
  });

  it('passes bytes among texts on as they are, in order, each run of texts as one', async () => {
    const { sink, outbox } = openOutbox();
    const segment = Uint8Array.of(0, 0xc3, 0x28, 0xff);
    const other = Buffer.from('gépard');
    const copies = [segment.slice(), Buffer.from(other)];
    for (const item of ['a', 'é', segment, segment, 'b', 'c', other]) void outbox.push(item);
    outbox.prepend('before ');
    expect([outbox.isEmpty, outbox.bytes]).toEqual([false, 7 + 3 + 8 + 2 + 7]);
    await tickEnd();
    expect(sink.written).toEqual(['before aé', segment, segment, 'bc', other]);
    expect(
      [sink.written[1], sink.written[2], sink.written[4]].map((each) =>
        [segment, other].findIndex((given) => given === each),
      ),
    ).toEqual([0, 0, 1]);
    expect([segment, other]).toEqual(copies);
    expect([outbox.isEmpty, outbox.bytes]).toEqual([true, 0]);
    void outbox.push('again');
    await tickEnd();
    expect(sink.written.at(-1)).toBe('again');
  });

  it('writes the last text in one piece with those that wait', () => {
    const { sink, outbox } = openOutbox();
    void outbox.push(Uint8Array.of(1));
    void outbox.push('text ');
    outbox.finishWith('last');
    expect(sink.written).toEqual([Uint8Array.of(1), 'text last']);
  });

  it.each([
    ['text', (length: number) => 'x'.repeat(length)],
    ['bytes', (length: number) => new Uint8Array(length)],
  ])('writes within the tick what reaches the high-water mark, and nothing below it: %s', async (_kind, make) => {
    const { sink, outbox } = openOutbox();
    void outbox.push(make(99));
    expect(sink.written).toEqual([]);
    await tickEnd();
    expect(sink.written.length).toBe(1);
    void outbox.push(make(1));
    void outbox.push(make(99));
    expect(sink.written.length).toBeGreaterThan(1);
    await tickEnd();
  });

  it('asks a sender to wait if the item that reaches the mark fills the response', async () => {
    const { sink, outbox } = openOutbox();
    sink.answers.push('full');
    let isSettled = false;
    const sent = Promise.resolve(outbox.push('x'.repeat(100))).then(() => (isSettled = true));
    await turns(2);
    expect(isSettled).toBe(false);
    sink.events.emit('drain');
    await settles(sent);
  });

  it('leaves what is queued during a write for the next one', async () => {
    const { sink, outbox } = openOutbox();
    let rounds = 0;
    sink.onWrite = () => {
      if (rounds++ < 3) void outbox.push(`${rounds}`);
    };
    void outbox.push('0');
    outbox.flush();
    expect(sink.written).toEqual(['0']);
    await turns(1);
    expect(sink.written).toEqual(['0', '1', '2', '3']);
  });

  it('stops at a chunk that closed the stream', () => {
    const { sink, outbox } = openOutbox();
    sink.answers.push('room', 'closed');
    for (const item of ['a', Uint8Array.of(1), 'b', Uint8Array.of(2)]) void outbox.push(item);
    outbox.flush();
    expect(sink.written).toEqual(['a', Uint8Array.of(1)]);
    expect(sink.events.listenerCount('drain')).toBe(0);
  });

  it('waits for the drain if any of several chunks filled the response', async () => {
    const { sink, outbox } = openOutbox();
    sink.answers.push('full', 'room');
    for (const item of ['a', Uint8Array.of(1)]) void outbox.push(item);
    outbox.flush();
    void outbox.push('b');
    await turns(1);
    expect(sink.written).toEqual(['a', Uint8Array.of(1)]);
    sink.events.emit('drain');
    await turns(2);
    expect(sink.written).toEqual(['a', Uint8Array.of(1), 'b']);
  });

  it.each(['close', 'finishWith'] as const)('leaves no listener behind after %s, and takes nothing more', (end) => {
    const { sink, outbox } = lag();
    expect(sink.events.listenerCount('drain')).toBe(1);
    if (end === 'finishWith') outbox.finishWith('');
    outbox.close(closeError('ended'));
    expect(sink.events.listenerCount('drain')).toBe(0);
    outbox.flush();
    outbox.recover();
    expect([sink.written, outbox.bytes]).toEqual([['first'], 0]);
  });
});

describe('an outbox whose client lags', () => {
  it('may hold just its bound, of texts, bytes and what the response holds', () => {
    const { sink, outbox } = lag({ maxBuffered: 120 });
    Object.assign(sink.res, { writableLength: 100 });
    // The first sender that is told to wait is always taken.
    void outbox.push('x'.repeat(10));
    void outbox.push(new Uint8Array(10));
    expect(outbox.push('y')).toBeInstanceOf(Promise);
    expect(outbox.push('z')).toBe('overflow');
    expect(outbox.bytes).toBe(21);
  });

  it('writes a burst that finds room in the response, and none that finds it just full', () => {
    const { sink, outbox } = lag({ maxBuffered: 10, overflow: 'drop' });
    void outbox.push('x'.repeat(20));
    Object.assign(sink.res, { writableLength: 100 });
    void outbox.push('dropped');
    expect([sink.written, outbox.dropped]).toEqual([['first'], 1]);
    Object.assign(sink.res, { writableLength: 99 });
    void outbox.push('taken');
    expect([sink.written, outbox.dropped, outbox.bytes]).toEqual([['first', 'x'.repeat(20)], 1, 5]);
  });

  it('keeps of bytes and texts the latest of each key, behind what was there', async () => {
    const { sink, outbox } = lag({ overflow: 'latest' });
    const old = Uint8Array.of(1);
    const latest = Uint8Array.of(2, 3);
    void outbox.push('a1', 'a');
    void outbox.push(old, 'b');
    void outbox.push('a2', 'a');
    void outbox.push(latest, 'b');
    expect([outbox.bytes, outbox.dropped]).toEqual([4, 2]);
    sink.events.emit('drain');
    await turns(2);
    expect(sink.written).toEqual(['first', 'a2', latest]);
    expect(sink.written[2]).toBe(latest);
  });

  it('is told by its sink of a close in the middle, and refuses', () => {
    const { sink, outbox } = lag({ maxBuffered: 10, overflow: 'drop' });
    void outbox.push('x'.repeat(20));
    sink.answers.push('closed');
    sink.onWrite = () => outbox.close(closeError('error'));
    expect(outbox.push('more')).toBe('closed');
    expect([outbox.dropped, outbox.bytes]).toEqual([0, 0]);
  });
});
