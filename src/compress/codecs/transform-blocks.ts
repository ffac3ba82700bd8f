import type { Transform } from 'node:stream';
import type { BlockEncoder } from '../codec.ts';

/**
 * Blocks from a zlib stream that was made to flush after each write. It keeps its history, and its memory, for as long
 * as it is open.
 */
export class TransformBlocks implements BlockEncoder {
  readonly memory: number;
  #transform: Transform;
  #output: Uint8Array[] = [];
  #fail: ((error: Error) => void) | undefined;

  constructor(transform: Transform, memory: number) {
    this.memory = memory;
    this.#transform = transform;
    transform.on('data', (bytes: Uint8Array) => this.#output.push(bytes));
    transform.on('error', (error) => this.#fail?.(error));
  }

  encode(text: Uint8Array, last: boolean): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      const finish = (): void => {
        // What came in the same turn as the callback may still be queued.
        while (this.#transform.read() !== null);
        const output = this.#output;
        this.#output = [];
        resolve(Buffer.concat(output));
      };
      if (last) this.#transform.once('end', finish).end(text);
      else this.#transform.write(text, (error) => (error ? reject(error) : finish()));
    });
  }

  close(): void {
    this.#transform.destroy();
  }
}
