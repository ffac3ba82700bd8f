import { beforeAll, describe, expect, it } from 'vitest';
import { checks, type Results, runChecks } from './run-checks.ts';
import { sluice } from './subjects.ts';

/** What undici cannot do. */
const limits: Readonly<Record<string, string>> = { '100 Continue that was not asked for': 'answers 502' };

describe('between an upstream and a client without an HTTP library', () => {
  let results: Results;
  beforeAll(async () => {
    // Only what goes wrong takes all its patience.
    results = await runChecks(sluice, checks, { patience: 20_000, atOnce: 12 });
  });

  it.each(checks)('$name: $scenario', (check) => {
    const limit = limits[check.name];
    expect(results.verdicts.get(check)).toEqual(
      limit === undefined
        ? { kind: expect.not.stringMatching('wrong'), text: expect.any(String) }
        : { kind: 'wrong', text: limit },
    );
  });

  it('prints nothing', () => {
    expect(results.stderr).toBe('');
  });
});
