import { InvalidOptionError } from '../../errors.ts';
import { type OptionAdvice, readBag, readInteger } from '../../internal/option.ts';
import type { Codec } from '../codec.ts';
import { openOnce } from './warm-up.ts';

/** `params` of `node:zlib`: a constant of `zlib.constants` → its value. */
export type Params = Readonly<Record<number, number | boolean>>;

/** What an encoder takes for its params. */
export interface ParamRules {
  /** What they are called in `zlib.constants`: `'BROTLI_PARAM_*, 0 to 8'`. */
  readonly names: string;
  /** Whether there is a constant of that value. */
  readonly has: (param: number) => boolean;
  /** The lowest of their values. */
  readonly min: number;
}

/** Brotli's (zlib.h of Node: `BROTLI_PARAM_MODE` to `BROTLI_PARAM_NDIRECT`). */
export const brotliRules: ParamRules = { names: 'BROTLI_PARAM_*, 0 to 8', has: (param) => param <= 8, min: 0 };

/** zstd's (zstd.h: `ZSTD_c_compressionLevel` is the first). Levels may be negative. */
export const zstdRules: ParamRules = { names: 'ZSTD_c_*, 100 or more', has: (param) => param >= 100, min: -(2 ** 17) };

/** What to say of the options of a codec that are not right. @param level - what it calls its level */
export function codecAdvice(owner: string, level: 'level' | 'quality'): OptionAdvice {
  return {
    single: level,
    instead: { level, quality: level, threshold: 'It is an option of `compress`.' },
    call: `compress({ codecs: [${owner}()] })`,
  };
}

/** Checks and copies params. Throws `InvalidOptionError`. */
export function readParams(option: string, value: Params | undefined, { names, has, min }: ParamRules): Params {
  const params = readBag(option, value) as Readonly<Record<string, unknown>>;
  for (const [param, setting] of Object.entries(params)) {
    if (!/^\d+$/.test(param) || !has(Number(param)))
      throw new InvalidOptionError(option, `an object with keys of ${names}`, param);
    if (typeof setting !== 'boolean') readInteger(`${option}[${param}]`, setting, { min });
  }
  return Object.freeze({ ...params }) as Params;
}

/**
 * Has a codec with params of its user's open an encoder of each kind: which values go together only the encoder knows.
 * Throws `InvalidOptionError`.
 */
export function checkParams<C extends Codec>(option: string, params: Params, codec: C): C {
  if (Object.keys(params).length === 0) return codec;
  try {
    openOnce(codec);
    return codec;
  } catch {
    throw new InvalidOptionError(option, 'parameters that the encoder takes', params);
  }
}
