import { Duplex, type Readable, type Writable } from 'node:stream';
import { InvalidOptionError } from '../../errors.ts';
import type { BodyTransform } from '../options.ts';

/** What gets the transformed body. */
export interface BodyPipeHost {
  received(chunk: Uint8Array): void;
  /** The transform takes more, after `write` returned `false`. */
  hasRoom(): void;
  ended(): void;
  failed(error: unknown): void;
}

/** Leads a body through a transform of the application. */
export class BodyPipe {
  readonly #duplex: Duplex;
  #isOver = false;

  /** Throws `InvalidOptionError` for something that is no transform. */
  constructor(transform: BodyTransform, host: BodyPipeHost) {
    this.#duplex = duplexOf(transform);
    this.#duplex
      .on('data', (chunk: Uint8Array | string) => {
        host.received(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
      })
      .on('drain', () => host.hasRoom())
      .on('end', () => this.#finish(() => host.ended()))
      .on('error', (error) => this.#finish(() => host.failed(error)))
      .on('close', () => this.#finish(() => host.failed(new Error('The transform closed before its end'))));
  }

  write(chunk: Uint8Array): boolean {
    return this.#duplex.write(chunk);
  }

  end(): void {
    this.#duplex.end();
  }

  pause(isPaused: boolean): void {
    if (isPaused) this.#duplex.pause();
    else this.#duplex.resume();
  }

  destroy(): void {
    this.#isOver = true;
    this.#duplex.destroy();
  }

  #finish(tell: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    tell();
  }
}

function duplexOf(transform: BodyTransform): Duplex {
  if (typeof transform === 'function')
    return Duplex.from(transform as (source: AsyncIterable<unknown>) => AsyncIterable<unknown>);
  const { readable, writable, pipe } = transform as Partial<{ readable: unknown; writable: unknown; pipe: unknown }>;
  if (typeof pipe === 'function') return transform as Duplex;
  if (typeof readable === 'object' && typeof writable === 'object') {
    return Duplex.from({ readable: readable as Readable, writable: writable as Writable });
  }
  throw new InvalidOptionError('proxy.modifyResponse', 'to return a transform, a function or nothing', transform);
}
