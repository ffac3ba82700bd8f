/** A request field with a timeout counted from arrival. (An absolute time would depend on two clocks.) */
export type TimeoutField = 'grpc-timeout' | 'x-request-timeout-ms' | 'x-envoy-expected-rq-timeout-ms';

/** Reads and writes the value of a field, in milliseconds. */
export interface TimeoutGrammar {
  parse(text: string): number | undefined;
  format(ms: number): string;
}

// gRPC over HTTP/2: Timeout → "grpc-timeout" TimeoutValue TimeoutUnit; TimeoutValue → positive integer as ASCII string
// of at most 8 digits.
const grpcPattern = /^([0-9]{1,8})([HMSmun])$/;
const grpcLargest = 99_999_999;

const unitLength: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };
// Dividing is exact where multiplying by a fraction of a millisecond is not.
const unitsInMillisecond: Readonly<Record<string, number>> = { u: 1000, n: 1_000_000 };

/** Reads a `grpc-timeout` as milliseconds; `undefined`: not one. `0m` breaks the grammar, and means expired. */
export function parseGrpcTimeout(text: string): number | undefined {
  const [, digits, unit] = grpcPattern.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const length = unitLength[unit];
  return length === undefined ? Number(digits) / (unitsInMillisecond[unit] ?? NaN) : Number(digits) * length;
}

/**
 * Writes milliseconds as a `grpc-timeout`, in the smallest unit that holds them, from `m` on. Rounds up, to 1 at least.
 */
export function formatGrpcTimeout(ms: number): string {
  for (const unit of ['m', 'S', 'M', 'H'] as const) {
    const count = Math.max(1, unitsIn(ms, unitLength[unit] ?? NaN));
    if (count <= grpcLargest) return `${count}${unit}`;
  }
  return `${grpcLargest}H`;
}

/** Divides and rounds up. The quotient of a number slightly above a multiple can come out as the multiple. */
function unitsIn(ms: number, length: number): number {
  const count = Math.ceil(ms / length);
  return count * length < ms ? count + 1 : count;
}

/** Reads a field of whole milliseconds; `undefined`: not one. */
export function parseMilliseconds(text: string): number | undefined {
  // A number with more than 15 digits is not exact.
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Writes whole milliseconds. Rounds up, to 1 at least: some servers take 0 for "no limit". */
export function formatMilliseconds(ms: number): string {
  return String(Math.min(999_999_999_999_999, Math.max(1, Math.ceil(ms))));
}

const milliseconds: TimeoutGrammar = { parse: parseMilliseconds, format: formatMilliseconds };

/** The grammar of each field. */
export const timeoutGrammars: Readonly<Record<TimeoutField, TimeoutGrammar>> = {
  'grpc-timeout': { parse: parseGrpcTimeout, format: formatGrpcTimeout },
  'x-request-timeout-ms': milliseconds,
  'x-envoy-expected-rq-timeout-ms': milliseconds,
};

export const timeoutFields: readonly TimeoutField[] = Object.keys(timeoutGrammars) as TimeoutField[];
