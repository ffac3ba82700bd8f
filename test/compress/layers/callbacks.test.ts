import { describe, expect, it } from 'vitest';
import { Callbacks } from '../../../src/compress/layers/callbacks.ts';
import { until } from '../../support/until.ts';

describe('write callbacks that wait together', () => {
  it('are all called when one throws, whose error is uncaught as with Node', async () => {
    const callbacks = new Callbacks();
    const called: string[] = [];
    const uncaught: unknown[] = [];
    // In place of those of the test runner.
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => uncaught.push(error));
    try {
      callbacks.add(() => called.push('first'));
      callbacks.add(() => {
        throw new RangeError('mine');
      });
      callbacks.add(() => called.push('last'));
      callbacks.take()!();
      await until(() => uncaught.length > 0);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
    expect([called, uncaught]).toEqual([['first', 'last'], [expect.any(RangeError)]]);
  });
});
