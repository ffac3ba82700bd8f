import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DrainMode, Resumption } from '../../../src/heartbeat/policy/resumption.ts';

interface Asked {
  readonly method?: string;
  readonly lastEventId?: string;
}

function follow(text: string, mode: DrainMode = 'auto', { method = 'GET', lastEventId }: Asked = {}): Resumption {
  const resumption = new Resumption(mode, { method, lastEventId });
  resumption.push(text);
  return resumption;
}

describe('an event stream of others', () => {
  it.each([
    'id: 1\ndata: a\n\n',
    'id:1\n\n',
    'id:  \n\n',
    'data: a\nid: 1\n\n',
    'data: a\rid: 1\r\r',
    'data: a\r\nid:é\r\n\r\n',
    ':ok\n\nid: 1',
  ])('that has sent %j can be resumed', (text) => {
    expect(follow(text).finiteBecause()).toBeUndefined();
  });

  it.each([
    '',
    'data: a\n\n',
    'data: id: 1\n\n',
    ': id: 1\n\n',
    ' id: 1\n\n',
    'ID: 1\n\n',
    'id\n\n',
    'id:\n\n',
    'id: \n\n',
    'ids: 1\n\n',
    'data: a\\nid: 1\n\n',
  ])('that has sent %j cannot', (text) => {
    expect(follow(text).finiteBecause()).toBe('no-id');
  });

  it('whose client came with an id can be resumed', () => {
    expect(follow('', 'auto', { lastEventId: '7' }).finiteBecause()).toBeUndefined();
    expect(follow('', 'auto', { lastEventId: '' }).finiteBecause()).toBe('no-id');
  });

  it.each(['POST', 'PUT', 'QUERY'])('that answers %s cannot, whatever it has sent', (method) => {
    expect(follow('id: 1\n\n', 'auto', { method }).finiteBecause()).toBe('method');
    expect(follow('id: 1\n\n', 'resumable', { method, lastEventId: '7' }).finiteBecause()).toBe('method');
  });

  it('can be resumed without ids where the option says so, and never where it says that', () => {
    expect(follow('data: a\n\n', 'resumable').finiteBecause()).toBeUndefined();
    expect(follow('id: 1\n\n', 'finite', { lastEventId: '7' }).finiteBecause()).toBe('finite');
  });

  it('is seen alike however it is cut, as bytes and as text', () => {
    const pieces = fc.array(fc.constantFrom('id', ':', ' ', '1', '\n', '\r', '\r\n', 'data: a', 'é'), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(pieces, fc.array(fc.nat(40), { maxLength: 6 }), fc.boolean(), (drawn, cuts, asBytes) => {
        const text = drawn.join('');
        const ids = text.split(/\r\n|\r|\n/).filter((line) => line.startsWith('id:'));
        const hasId = ids.some((line) => line.slice(3).replace(/^ /, '') !== '');
        const resumption = new Resumption('auto', { method: 'GET', lastEventId: undefined });
        const places = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
        for (const [index, from] of places.slice(0, -1).entries()) {
          const part = text.slice(from, places[index + 1]);
          resumption.push(asBytes ? Buffer.from(part) : part);
        }
        expect(resumption.finiteBecause()).toBe(hasId ? undefined : 'no-id');
      }),
    );
  });
});
