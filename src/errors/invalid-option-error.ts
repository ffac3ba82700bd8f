import { SluiceError } from './sluice-error.ts';

/**
 * An option has the wrong type, is out of range, contradicts another one, or does not exist. Thrown by the factory,
 * before any request; `pipeBody`, `pipe`, `reconnect` and `swap` reject with it.
 */
export class InvalidOptionError extends SluiceError {
  override readonly code = 'ERR_SLUICE_OPTION_INVALID';
  /** The option's name, with its owner: `sse.maxBuffered`. */
  readonly option: string;

  /** @param fault - what it was expected to be; or the rest of a sentence that begins with the option */
  constructor(option: string, fault: string | { readonly sentence: string }, value?: unknown) {
    super(
      typeof fault === 'string'
        ? `Expected \`${option}\` to be ${fault}, got ${describe(value)}`
        : `Option \`${option}\` ${fault.sentence}`,
    );
    this.option = option;
  }
}

function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `${JSON.stringify(value)} (string)`;
    case 'object':
      return value === null ? 'null' : `${constructorOf(value)} (object)`;
    case 'undefined':
      return 'undefined';
    case 'function':
      return `${value.name === '' ? 'anonymous' : value.name} (function)`;
    default:
      return `${String(value)} (${typeof value})`;
  }
}

function constructorOf(value: object): string {
  // One without a prototype has no constructor.
  const { constructor } = value as { constructor?: unknown };
  return typeof constructor === 'function' ? constructor.name : 'Object';
}
