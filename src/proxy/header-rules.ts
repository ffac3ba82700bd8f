import { InvalidOptionError } from '../errors.ts';
import type { HeaderList } from '../internal/http/header-list.ts';
import { isField } from '../internal/http/headers.ts';
import { readBag } from '../internal/option.ts';
import type { HeaderRules } from './options.ts';

// They frame the message, and its framing is the proxy's.
const framingFields = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Reads the rules for the headers of a request. A function of the application that leaves a header that cannot be sent
 * throws `InvalidOptionError`. (In an answer Node refuses it.)
 */
export function readRequestRules<Args extends unknown[]>(
  option: string,
  rules: HeaderRules<Args> | undefined,
): ((headers: HeaderList, ...args: Args) => void) | undefined {
  const apply = readRules(option, rules);
  if (typeof rules !== 'function' || !apply) return apply;
  return (headers, ...args) => {
    apply(headers, ...args);
    for (const [name, value] of headers) {
      const key = name.toLowerCase();
      // The two that the proxy itself may have set.
      const isFraming = key !== 'content-length' && key !== 'te' && framingFields.has(key);
      if (!isFraming && isField(name, value)) continue;
      // Not its value: that may be a secret.
      const why = isFraming ? 'frames the message' : 'HTTP does not allow';
      throw new InvalidOptionError(option, { sentence: `has set a header that ${why}: ${JSON.stringify(name)}` });
    }
  };
}

/** Reads rules for headers. Throws `InvalidOptionError`. */
export function readRules<Args extends unknown[]>(
  option: string,
  rules: HeaderRules<Args> | undefined,
): ((headers: HeaderList, ...args: Args) => void) | undefined {
  if (rules === undefined || typeof rules === 'function') return rules;
  const entries = Object.entries(readBag(option, rules) as Record<string, unknown>);
  for (const [name, value] of entries) {
    if (framingFields.has(name.toLowerCase())) {
      throw new InvalidOptionError(`${option}.${name}`, 'left out: it frames the message', value);
    }
    const isRule = value === null || typeof value === 'string';
    if (!isRule || !isField(name, value ?? ''))
      throw new InvalidOptionError(`${option}.${name}`, 'a header field, or null', value);
  }
  const apply = ([headers]: [HeaderList, ...Args]): void => {
    for (const [name, value] of entries) {
      if (value === null) headers.delete(name);
      else headers.set(name, value as string);
    }
  };
  return (...args) => apply(args);
}
