import { describe, expect, it } from 'vitest';
import { InvalidEventError } from '../../../src/errors.ts';
import { checkEventFields } from '../../../src/internal/format/event-fields.ts';

describe('checkEventFields', () => {
  it.each([
    [{ type: 'tick' }, 'event'],
    [{ type: 'tick', data: 1 }, 'event'],
    [{ eventName: 'tick', data: 1 }, 'event'],
    [{ event: 'tick', payload: {} }, 'data'],
    [{ Data: 1 }, 'data'],
    [{ dta: 1 }, 'data'],
    [{ event: 'tick', daat: 1 }, 'data'],
    [{ data: 1, evnt: 'tick' }, 'event'],
    [{ data: 1, lastEventId: '7' }, 'id'],
    [{ data: 1, ID: '7' }, 'id'],
    [{ data: 1, retyr: 5 }, 'retry'],
  ])('%j: was meant as %s', (event, meant) => {
    expect(() => checkEventFields(event)).toThrow(InvalidEventError);
    expect(() => checkEventFields(event)).toThrow(`Did you mean \`${meant}\`?`);
  });

  it.each([
    [{ event: 'a', data: 1, retryable: true }],
    [{ data: 1, commentCount: 2, comments: [] }],
    [{ data: 1, eventTime: 5, events: [], name: 'x', delay: 5 }],
    [{ event: 'a', metadata: {}, date: '2026' }],
    [{ data: 1, type: undefined }],
    [{ data: 1, type: 5 }],
    [{ type: 'event', event: undefined, data: 'x', id: undefined }],
    [Object.create({ type: 'inherited', data: 1 }) as object],
  ])('%j: has only fields of the application', (event) => {
    expect(() => checkEventFields(event)).not.toThrow();
  });
});
