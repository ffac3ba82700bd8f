import { describe, expect, it } from 'vitest';
import { InvalidRecordError } from '../../../src/errors.ts';
import { formatRecord, jsonSeqFormat, ndjsonFormat } from '../../../src/internal/format/records.ts';
import { parseJsonSeq, parseNdjson } from '../../support/record-parser.ts';

describe('formatRecord', () => {
  const framings: [value: unknown, json: string][] = [
    [{ a: [1, null] }, '{"a":[1,null]}'],
    ['text', '"text"'],
    ['', '""'],
    [0, '0'],
    [-0, '0'],
    [NaN, 'null'],
    [null, 'null'],
    [false, 'false'],
    [[], '[]'],
    [[undefined], '[null]'],
    [{ gone: undefined, kept: 1 }, '{"kept":1}'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['line\nbreak\r\n', '"line\\nbreak\\r\\n"'],
    ['\u001e', '"\\u001e"'],
    ['\u2028\u2029', '"\u2028\u2029"'],
    ['\ud800', '"\\ud800"'],
    ['🌊', '"🌊"'],
    [{ toJSON: () => 'own' }, '"own"'],
  ];
  it.each(framings)('writes %o as JSON, alone on its line', (value, json) => {
    expect(formatRecord(ndjsonFormat, value)).toBe(`${json}\n`);
    expect(formatRecord(jsonSeqFormat, value)).toBe(`\u001e${json}\n`);
    const back: unknown = JSON.parse(json);
    expect(parseNdjson(formatRecord(ndjsonFormat, value))).toEqual([back]);
    expect(parseJsonSeq(formatRecord(jsonSeqFormat, value))).toEqual([back]);
  });

  const cycle: unknown[] = [];
  cycle.push(cycle);
  const refusals: [name: string, value: unknown][] = [
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a BigInt', 1n],
    ['a BigInt inside', { deep: [1n] }],
    ['a cycle', cycle],
    ['a toJSON that gives nothing', { toJSON: () => undefined }],
    [
      'a toJSON that throws',
      {
        toJSON: () => {
          throw new Error('own');
        },
      },
    ],
  ];
  it.each(refusals)('refuses %s', (_name, value) => {
    for (const format of [ndjsonFormat, jsonSeqFormat]) {
      expect(() => formatRecord(format, value)).toThrow(InvalidRecordError);
      expect(() => formatRecord(format, value)).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_RECORD_INVALID' }));
    }
  });

  it('keeps what JSON said as the cause', () => {
    expect(() => formatRecord(ndjsonFormat, 1n)).toThrow(expect.objectContaining({ cause: expect.any(TypeError) }));
    expect(() => formatRecord(ndjsonFormat, undefined)).toThrow(
      expect.not.objectContaining({ cause: expect.anything() }),
    );
  });
});
