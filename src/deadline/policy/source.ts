import { parseGrpcTimeout, parseMilliseconds } from './timeout-field.ts';

/** A request field that tells how long the client waits. */
export type DeadlineSource =
  'grpc-timeout' | 'x-request-timeout-ms' | 'x-request-deadline' | 'x-envoy-expected-rq-timeout-ms' | 'prefer';

type Reader = (field: string, now: number) => number | undefined;

/**
 * Reads each field as ms from now. `undefined`: not readable.
 *
 * | field | what it holds |
 * |---|---|
 * | `grpc-timeout` | up to 8 digits and a unit: H, M, S, m, u, n (gRPC over HTTP/2) |
 * | `x-request-timeout-ms` | milliseconds |
 * | `x-request-deadline` | a point in time: RFC 3339, or seconds or milliseconds since the epoch |
 * | `x-envoy-expected-rq-timeout-ms` | milliseconds |
 * | `prefer` | `wait=` seconds (RFC 7240 4.3) |
 */
const readers: Readonly<Record<DeadlineSource, Reader>> = {
  'grpc-timeout': parseGrpcTimeout,
  'x-request-timeout-ms': parseMilliseconds,
  'x-request-deadline': parseMoment,
  'x-envoy-expected-rq-timeout-ms': parseMilliseconds,
  prefer: parseWait,
};

/** All known fields. */
export const deadlineSources: readonly DeadlineSource[] = Object.keys(readers) as DeadlineSource[];

/**
 * How long the client waits, in ms from now, at least 0: the shortest of its fields. `Infinity`: no readable field.
 * @param fields - of the request, by their names in lower case
 * @param now - milliseconds since the epoch
 */
export function readTimeout(
  fields: Readonly<Record<string, string | readonly string[] | undefined>>,
  sources: readonly DeadlineSource[],
  now?: number,
): number {
  let shortest = Infinity;
  for (const source of sources) {
    const value = fields[source];
    if (value === undefined) continue;
    const timeout = readers[source](String(value).trim(), now ?? Date.now());
    if (timeout !== undefined) shortest = Math.min(shortest, Math.max(0, timeout));
  }
  return shortest;
}

// RFC 3339 5.6, with a time zone. A local time is no point in time.
const dateTime = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
// In seconds it is the year 5138, in milliseconds 1973: no real deadline is ambiguous.
const firstMilliseconds = 100_000_000_000;

function parseMoment(field: string, now: number): number | undefined {
  const moment = dateTime.test(field) && isRealDay(field) ? Date.parse(field.replace(' ', 'T')) : parseEpoch(field);
  return Number.isFinite(moment) ? (moment as number) - now : undefined;
}

// `Date.parse` takes the 30th of February for the 2nd of March.
function isRealDay(field: string): boolean {
  const [year, month, day] = [field.slice(0, 4), field.slice(5, 7), field.slice(8, 10)].map(Number) as [
    number,
    number,
    number,
  ];
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function parseEpoch(field: string): number | undefined {
  if (!/^\d{1,15}(\.\d{1,9})?$/.test(field)) return undefined;
  const value = Number(field);
  return value < firstMilliseconds ? value * 1000 : value;
}

// RFC 7240 2: preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ). The first of two equal ones
// counts.
const preferences = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;
const wait = /^wait\s*=\s*("?)(\d{1,10})\1$/i;

function parseWait(field: string): number | undefined {
  for (const preference of field.match(preferences) ?? []) {
    const [name = ''] = preference.split(';', 1);
    const seconds = wait.exec(name.trim())?.[2];
    if (seconds !== undefined) return Number(seconds) * 1000;
  }
  return undefined;
}
