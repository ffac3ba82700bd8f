import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkQueue } from '../../../src/internal/writer/chunk-queue.ts';

type Chunk = string | Uint8Array;

const chunk: fc.Arbitrary<Chunk> = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 5 }),
  fc.uint8Array({ minLength: 1, maxLength: 5 }),
);

type Step =
  | { readonly append: Chunk }
  | { readonly prepend: string }
  | { readonly put: Chunk; readonly key: string | undefined }
  | { readonly write: true };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ append: chunk }) },
    { weight: 1, arbitrary: fc.record({ prepend: fc.string({ maxLength: 3 }) }) },
    { weight: 4, arbitrary: fc.record({ put: chunk, key: fc.constantFrom('a', 'b', undefined) }) },
    { weight: 1, arbitrary: fc.constant({ write: true } as const) },
  ),
);

/** Chunks as they are, each run of texts as one. */
function joined(chunks: readonly Chunk[]): Chunk[] {
  const result: Chunk[] = [];
  for (const each of chunks) {
    const last = result.at(-1);
    if (typeof each === 'string' && typeof last === 'string') result[result.length - 1] = last + each;
    else if (each !== '') result.push(each);
  }
  return result;
}

function sizeOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((size, each) => size + Buffer.byteLength(each), 0);
}

it('a queue writes what was put in, in order: runs of texts as one, bytes as they are, of each key the latest', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const queue = new ChunkQueue();
      let settled: Chunk[] = [];
      let latest: { chunk: Chunk; key: string | undefined }[] = [];
      const all = (): Chunk[] => [...settled, ...latest.map((each) => each.chunk)];
      for (const step of [...script, { write: true } as const]) {
        if ('append' in step) {
          queue.append(step.append);
          settled = [...all(), step.append];
          latest = [];
        } else if ('prepend' in step) {
          queue.prepend(step.prepend);
          settled.unshift(step.prepend);
        } else if ('put' in step) {
          const before = latest.length;
          latest = latest.filter(({ key }) => key === undefined || key !== step.key);
          expect(queue.putLatest(step.key, step.put)).toBe(latest.length < before);
          latest.push({ chunk: step.put, key: step.key });
        } else {
          const written: Chunk[] = [];
          queue.writeTo({ writeChunk: (each) => (written.push(each), 'room') });
          const expected = joined(all());
          expect(written).toEqual(expected);
          for (const [index, each] of written.entries())
            if (typeof each !== 'string') expect(each).toBe(expected[index]);
          [settled, latest] = [[], []];
        }
        expect(queue.bytes).toBe(sizeOf(all()));
        expect(queue.length).toBe(all().reduce((length, each) => length + each.length, 0));
      }
      expect([queue.isEmpty, queue.writeTo({ writeChunk: () => 'room' })]).toEqual([true, undefined]);
    }),
    { numRuns: 1000 },
  );
});
