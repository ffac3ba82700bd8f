import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

/** Bytes of JavaScript objects. */
interface Allocations {
  /** Of an event, beside what one write to its socket allocates. */
  readonly event: number;
  /** What an event allocates more when one object is added to it. */
  readonly more: number;
  /** What a stream that says nothing keeps, beside what a bare response does. */
  readonly idle: number;
}

// No compiler, and nothing collected while events are counted.
const flags =
  '--expose-gc --no-opt --no-maglev --no-sparkplug --no-flush-bytecode --min-semi-space-size=64 --max-semi-space-size=64';

// Measured, and less than one object more, which has 16 bytes at least: V8 of each version lays them out differently.
// On Node 20 the numbers are not the same in each run.
const eventLimits: Readonly<Record<number, number>> = { 22: 2152, 24: 1880, 26: 1892 };
// A stream whose head V8 keeps in pieces has 800 more. On Node 20 the numbers vary by as much.
const idleLimits: Readonly<Record<number, number>> = { 20: 4500, 22: 3000, 24: 3000, 26: 2800 };

const major = Number(process.versions.node.split('.', 1)[0]);
const counts = major < 22 ? [] : [eventLimits[major] ?? Math.max(...Object.values(eventLimits))];

describe('a gzip stream', () => {
  let measured!: Allocations;

  beforeAll(async () => {
    const fixture = fileURLToPath(new URL('fixtures/allocations.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [...flags.split(' '), fixture]);
    measured = JSON.parse(stdout) as Allocations;
  });

  it.each(counts)('allocates at most %i bytes for an event, which leaves no room for one object more', (limit) => {
    expect(measured.event).toBeLessThanOrEqual(limit);
    expect(measured.more).toBeGreaterThanOrEqual(16);
  });

  it('keeps little while it says nothing', () => {
    const limit = idleLimits[major] ?? Math.max(...Object.values(idleLimits));
    expect(measured.idle).toBeLessThanOrEqual(limit);
    expect(measured.idle).toBeGreaterThan(0);
  });
});
