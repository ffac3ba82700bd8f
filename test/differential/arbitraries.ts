import fc from 'fast-check';
import { type CarrierName, type ClientKind, plain, type Scenario, type Step, type Wait } from './script.ts';
import type { ArgumentForm, ChunkSpec, Encoding } from './chunks.ts';
import {
  fieldNames,
  fieldSets,
  type FieldValue,
  fieldValues,
  type HeadForm,
  headForms,
  meaningfulFields,
  statusValues,
  type StatusValue,
  trailers,
} from './heads.ts';

// Of a choice the first is the simplest: it is what others shrink to.

const keysOf = <K extends string>(table: Record<K, unknown>): K[] => Object.keys(table) as K[];

/** A record without the null prototype, which prints badly. */
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;

/** One of several, the first `weight` times as often. */
const mostly = <T>(weight: number, common: fc.Arbitrary<T>, ...rare: fc.Arbitrary<T>[]): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: common }, ...rare.map((arbitrary) => ({ weight: 1, arbitrary })));

const step = <S extends Step>(fields: { [K in keyof S]: fc.Arbitrary<S[K]> }): fc.Arbitrary<Step> => record<S>(fields);

// Under the threshold of `compress`; over it; over what is encoded in place; over the high-water mark, several times.
const size = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(20, 200) },
  { weight: 3, arbitrary: fc.constantFrom(2000, 5000) },
  { weight: 2, arbitrary: fc.constantFrom(20_000, 70_000, 150_000) },
);

const goodKind = fc.constantFrom<ChunkSpec['kind'][]>('string', 'string', 'buffer', 'buffer', 'uint8', 'foreign uint8');
const oddKind = fc.constantFrom<ChunkSpec['kind'][]>(
  'empty string',
  'empty buffer',
  'null',
  'undefined',
  'number',
  'object',
  'array',
  'view',
  'uint16',
  'array buffer',
  'foreign view',
);
const goodChunk = record<ChunkSpec>({ kind: goodKind, size, wide: fc.boolean() });
const chunk = record<ChunkSpec>({ kind: mostly(5, goodKind, oddKind), size, wide: fc.boolean() });

const encoding = mostly(
  4,
  fc.constant<Encoding>('utf8'),
  fc.constantFrom<Encoding[]>('UTF-8', 'latin1', 'binary', 'ascii', 'hex', 'base64', 'ucs2', 'utf16le', 'nonsense'),
);
const forms: ArgumentForm[] = [
  'chunk',
  'none',
  'callback',
  'chunk, callback',
  'chunk, encoding',
  'chunk, encoding, callback',
  'chunk, null, callback',
  'chunk, undefined, callback',
];
const form = mostly(2, fc.constantFrom<ArgumentForm[]>('chunk', 'chunk, callback'), fc.constantFrom(...forms));
const write = step({ do: fc.constant('write' as const), form, chunk, encoding });
const end = step({
  do: fc.constant('end' as const),
  form: fc.oneof(form, fc.constantFrom<ArgumentForm[]>('none', 'callback')),
  chunk,
  encoding,
});

const goodHeads: HeadForm[] = [
  'status',
  'reason',
  'object',
  'object with type',
  'reason, object',
  'list',
  'list with type',
  'pairs',
];
const writeHead = step({
  do: fc.constant('writeHead' as const),
  form: fc.oneof(fc.constantFrom(...goodHeads), fc.constantFrom(...keysOf(headForms))),
});
const goodStatuses: StatusValue[] = ['200', '201', '204', '206', '304', '404'];
const statusCode = step({
  do: fc.constant('statusCode' as const),
  value: fc.oneof(fc.constantFrom(...goodStatuses), fc.constantFrom(...keysOf(statusValues))),
});
const statusMessage = step({
  do: fc.constant('statusMessage' as const),
  value: fc.constantFrom('Fine', '', 'a\nb', 'é'),
});

const field = mostly(
  3,
  fc.constantFrom(...meaningfulFields),
  fc.tuple(fc.constantFrom('X-One', 'x-one', 'X-Two'), fc.constantFrom(...keysOf(fieldValues))),
  fc.tuple(fc.constantFrom(...fieldNames), fc.constantFrom<FieldValue[]>('text', 'list', 'number')),
);
const setField = fc
  .tuple(fc.constantFrom('setHeader' as const, 'setHeader' as const, 'appendHeader' as const), field)
  .map(([verb, [name, value]]): Step => ({ do: verb, name, value }));
const readField = step({
  do: fc.constantFrom('removeHeader' as const, 'getHeader' as const, 'hasHeader' as const),
  name: fc.constantFrom(...fieldNames, 'X-Given'),
});
const setFields = step({ do: fc.constant('setHeaders' as const), form: fc.constantFrom(...keysOf(fieldSets)) });
const addTrailers = step({ do: fc.constant('addTrailers' as const), form: fc.constantFrom(...keysOf(trailers)) });
const simple = step({
  do: fc.constantFrom(
    'flushHeaders' as const,
    'flush' as const,
    'cork' as const,
    'uncork' as const,
    'getHeaderNames' as const,
    'getRawHeaderNames' as const,
    'getHeaders' as const,
  ),
});
const interim = step({
  do: fc.constantFrom('writeEarlyHints' as const, 'writeContinue' as const, 'writeProcessing' as const),
  callback: fc.boolean(),
});
const contentLength = step({
  do: fc.constant('contentLength' as const),
  length: fc.constantFrom('right' as const, 'right' as const, 'short' as const, 'long' as const),
});
const strict = fc.constant<Step>({ do: 'strict' });
const destroy = step({ do: fc.constant('destroy' as const), error: fc.boolean() });
const waitFor = (...waits: Wait[]): fc.Arbitrary<Step> =>
  step({ do: fc.constant('wait' as const), for: fc.constantFrom(...waits) });
const pipe = step({
  do: fc.constantFrom('pipe' as const, 'pipeline' as const),
  chunks: fc.array(goodChunk, { maxLength: 4 }),
  fails: mostly(2, fc.constant(false), fc.boolean()),
  open: fc.constant(false),
});

/** A source behind another, or before the handler's own writes. */
const openPipe = fc.array(goodChunk, { maxLength: 3 }).map((chunks): Step[] => [
  { do: 'pipe', chunks, fails: false, open: true },
  { do: 'wait', for: 'source' },
]);

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: write },
  { weight: 4, arbitrary: waitFor('immediate', 'nextTick', 'microtask', 'drain') },
  { weight: 3, arbitrary: writeHead },
  { weight: 3, arbitrary: setField },
  { weight: 2, arbitrary: statusCode },
  { weight: 2, arbitrary: readField },
  { weight: 3, arbitrary: simple },
  ...[interim, contentLength, strict, statusMessage, setFields, addTrailers].map((arbitrary) => ({
    weight: 1,
    arbitrary,
  })),
);

const lateStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: anyStep },
  { weight: 2, arbitrary: end },
  { weight: 2, arbitrary: waitFor('close', 'finish', 'within finish', 'immediate', 'nextTick') },
  { weight: 1, arbitrary: destroy },
);

function scriptOf(...finales: fc.Arbitrary<Step>[]): fc.Arbitrary<Step[]> {
  const before = mostly(
    8,
    fc.array(anyStep, { maxLength: 8 }),
    fc
      .tuple(fc.array(anyStep, { maxLength: 3 }), openPipe, fc.array(anyStep, { maxLength: 3 }))
      .map((parts) => parts.flat()),
  );
  const finale = fc.oneof(
    { weight: 8, arbitrary: end },
    { weight: 2, arbitrary: pipe },
    { weight: 1, arbitrary: destroy },
    ...finales.map((arbitrary) => ({ weight: 8, arbitrary })),
  );
  const after = mostly(2, fc.constant<Step[]>([]), fc.array(lateStep, { maxLength: 4 }));
  return fc.tuple(before, finale, after).map(([first, last, late]) => [...first, last, ...late]);
}

const steps = scriptOf();
const expressSteps = scriptOf(
  step({ do: fc.constant('send' as const), chunk }),
  step({ do: fc.constant('json' as const), size }),
);

const common = {
  method: mostly(6, fc.constant('GET' as const), fc.constantFrom('HEAD' as const, 'POST' as const)),
  accepts: fc.constantFrom('gzip', 'gzip', 'gzip, br', 'br', 'deflate', 'gzip, deflate, br, zstd', ''),
  type: fc.constantFrom(
    'application/json',
    'application/json',
    'text/html; charset=utf-8',
    'text/event-stream',
    'text/event-stream',
    'image/png',
    'application/octet-stream',
    undefined,
  ),
  listens: mostly(5, fc.constant(true), fc.constant(false)),
};

const version = mostly(5, fc.constant('1.1' as const), fc.constant('1.0' as const));
const connection = mostly(5, fc.constant('none' as const), fc.constantFrom('close' as const, 'keep-alive' as const));

function http1(carrier: CarrierName, script: fc.Arbitrary<Step[]>): fc.Arbitrary<Scenario> {
  const client = fc.oneof(
    { weight: 5, arbitrary: fc.constant<ClientKind>('reads') },
    {
      weight: 3,
      arbitrary: fc.constantFrom<ClientKind[]>(
        'half-closes',
        'slow',
        'leaves at once',
        'leaves at the head',
        'pipelines',
      ),
    },
  );
  const server = { carrier: fc.constant(carrier), version, connection };
  return record<Scenario>({ ...common, ...server, client, steps: script, second: script }).map((scenario) => {
    // A second one is only where the client sends two, and then the first is not the last of its connection.
    if (scenario.client !== 'pipelines') return { ...scenario, second: [] };
    return { ...scenario, version: '1.1', connection: 'none' };
  });
}

const http2: fc.Arbitrary<Scenario> = record<Scenario>({
  ...common,
  carrier: fc.constant('http2' as const),
  version: fc.constant(plain.version),
  connection: fc.constant(plain.connection),
  client: mostly(
    5,
    fc.constant<ClientKind>('reads'),
    fc.constantFrom<ClientKind[]>('slow', 'leaves at once', 'leaves at the head'),
  ),
  steps,
  second: fc.constant([]),
}).map((scenario) => ({ ...scenario, steps: scenario.steps.map(withoutEmpty) }));

// Node's HTTP/2 streams send bytes from elsewhere in memory when an empty chunk is among writes that they join (20 to
// 26).
function withoutEmpty(each: Step): Step {
  if (!('chunk' in each) || !['empty string', 'empty buffer'].includes(each.chunk.kind)) return each;
  return { ...each, chunk: { ...each.chunk, kind: 'string', size: 20 } };
}

/** Scenarios, by the carrier of the server. */
export const scenarios: Readonly<Record<CarrierName, fc.Arbitrary<Scenario>>> = {
  http1: http1('http1', steps),
  http2,
  express5: http1('express5', expressSteps),
  express4: http1('express4', expressSteps),
};
