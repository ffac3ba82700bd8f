import type { Transform } from 'node:stream';
import { CodecFailedError } from '../../errors.ts';
import type { StreamEncoder } from '../codec.ts';
import { reportCompressError } from '../events.ts';
import { isUint8Array } from 'node:util/types';
import type { Chunk } from '../../internal/seam/layer.ts';

/** Looks per limit. More than one: a process that stood still gets time to take what came meanwhile. */
const looks = 3;

/**
 * A stream encoder of the user's. One that gives no bytes, ends before its text does, or has work and gives nothing
 * for `limit` ms while its reader takes it, is destroyed with an error.
 */
export class CheckedStream implements StreamEncoder {
  readonly transform: Transform;
  readonly memory: number;
  readonly start?: NonNullable<StreamEncoder['start']>;
  readonly #coding: string;
  readonly #limit: number;
  readonly #flush: StreamEncoder['flush'];
  #timer: NodeJS.Timeout;
  #flushes = 0;
  /** How many looks have seen it stand still, one after the other. */
  #still = 0;

  constructor(coding: string, encoder: StreamEncoder, limit: number) {
    this.#coding = coding;
    this.#limit = limit;
    this.transform = encoder.transform;
    this.memory = encoder.memory;
    this.#flush = (callback) => encoder.flush(callback);
    const { start } = encoder;
    if (start) this.start = (first) => checkBytes(coding, 'createStream().start', start.call(encoder, first));
    this.#timer = setInterval(look, limit / looks, this).unref();
    this.#watch();
  }

  flush(callback: () => void): void {
    let done = false;
    this.#flushes += 1;
    try {
      this.#flush(() => {
        if (done) return;
        done = true;
        this.#flushes -= 1;
        callback();
      });
    } catch (error) {
      destroyTransform(this.transform, error as Error);
    }
  }

  /** Called now and then. */
  look(): void {
    const { transform } = this;
    const works = transform.writableLength > 0 || transform.writableEnded || this.#flushes > 0;
    this.#still = works && !transform.isPaused() ? this.#still + 1 : 0;
    if (this.#still === looks) destroyTransform(transform, this.#failure(`gave nothing for ${this.#limit / 1000} s`));
  }

  #watch(): void {
    const { transform } = this;
    transform.on('data', (bytes: unknown) => {
      this.#still = 0;
      try {
        checkBytes(this.#coding, 'createStream().transform', bytes);
      } catch (error) {
        destroyTransform(transform, error as Error);
      }
    });
    transform.on('end', () => {
      clearInterval(this.#timer);
      if (!transform.writableEnded) destroyTransform(transform, this.#failure('ended before its text'));
    });
    transform.on('close', () => clearInterval(this.#timer));
    // An error counts while it encodes. A later one, or one of a stream that was only tried, must not end the process.
    transform.on('error', ignore);
  }

  #failure(fault: string): Error {
    return new CodecFailedError(this.#coding, 'createStream().transform', fault);
  }
}

/** Destroys the transform of an encoder. It may be the application's: what it throws is reported. */
export function destroyTransform(transform: Transform, error?: Error): void {
  try {
    transform.destroy(error);
  } catch (failure) {
    reportCompressError(failure);
  }
}

function look(stream: CheckedStream): void {
  stream.look();
}

function ignore(): void {}

/** A chunk as bytes. */
export function bytesOf(chunk: Chunk, encoding: BufferEncoding | undefined): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}

/** Checks what a codec gave for bytes. Throws `CodecFailedError`. */
export function checkBytes(coding: string, member: string, value: unknown): Uint8Array {
  // Of whatever realm they are.
  if (isUint8Array(value)) return value;
  throw new CodecFailedError(coding, member, `gave ${kindOf(value)}, and not a Uint8Array`);
}

/** What a value is, for a message. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
