import { describe, expect, it } from 'vitest';
import { createMemoryBackplane, RunCancelledError } from '../../../src/index.ts';
import { settles, until } from '../../support/until.ts';
import { lateBackplane } from '../late-backplane.ts';
import { ended, type Instance, type InstanceOptions, Script, serveAnswers, told } from './site.ts';

const end = (status: string): string => `sluice.end {"status":"${status}"}`;

describe.each([
  ['in memory', () => createMemoryBackplane()],
  ['that answers late', () => lateBackplane(Math.random)],
] as const)('over a backplane %s, an answer', (_name, makeBackplane) => {
  /** Two instances over one backplane, with one script. */
  async function pair(options: InstanceOptions = {}): Promise<{ script: Script; one: Instance; two: Instance }> {
    const script = new Script();
    const shared = { script, backplane: makeBackplane(), ...options };
    return { script, one: await serveAnswers(shared), two: await serveAnswers(shared) };
  }

  it('goes to the client that began it, and ends', async () => {
    const { script, one } = await pair();
    script.yields('a', { event: 'note', data: { n: 1 } }, 'b');
    script.returns({ tokens: 3 });
    const client = await one.start();
    expect(await settles(client.over)).toBe('end');
    expect(told(client)).toEqual(['a', 'note {"n":1}', 'b', end('done')]);
    expect(client.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    const [last] = await ended(one);
    expect(last).toMatchObject({ key: 'a', run: undefined, status: 'done', value: { tokens: 3 }, error: undefined });
    expect((await last!.events()).map(({ data }) => data as unknown)).toEqual(['a', { n: 1 }, 'b']);
    expect(one.ends).toHaveLength(1);
  });

  it('goes on without its client, and continues on any instance', async () => {
    const { script, one, two } = await pair();
    const first = await one.start();
    script.yields('a', 'b');
    await first.count(2);
    first.destroy();
    script.yields('c');
    const resumed = await two.resume('a', { 'Last-Event-ID': first.lastEventId });
    const anew = await two.resume();
    script.yields('d');
    script.returns();
    await settles(Promise.all([resumed.over, anew.over]));
    expect(told(resumed)).toEqual(['c', 'd', end('done')]);
    expect(told(anew)).toEqual(['a', 'b', 'c', 'd', end('done')]);
    // It has all of it, and was told to stay away.
    expect((await two.resume('a', { 'Last-Event-ID': anew.lastEventId })).status).toBe(204);
    await ended(one);
    expect([one.ends.length, two.ends.length, script.begun]).toEqual([1, 0, 1]);
  });

  it('has one producer, however many begin it', async () => {
    const { script, one, two } = await pair();
    const clients = await Promise.all([one, two, one, two, one, two].map((instance) => instance.start()));
    script.yields('a');
    await Promise.all(clients.map((client) => client.count(1)));
    expect(script.begun).toBe(1);
    script.returns();
    await settles(Promise.all(clients.map(({ over }) => over)));
    for (const client of clients) expect(told(client)).toEqual(['a', end('done')]);
    await until(() => one.ends.length + two.ends.length === 1);
  });

  it('is followed by another one with the same key', async () => {
    const { script, one, two } = await pair();
    script.yields('first');
    script.returns();
    await settles((await one.start()).over);
    const client = await two.start();
    script.yields('second');
    await client.count(1);
    const other = await one.resume();
    script.returns();
    await settles(Promise.all([client.over, other.over]));
    expect([told(client), told(other)]).toEqual([
      ['second', end('done')],
      ['second', end('done')],
    ]);
    expect(script.begun).toBe(2);
  });

  it('that has a name is given again, and another has to wait', async () => {
    const { script, one, two } = await pair();
    const client = await one.start({ id: 'a', run: 'm1' });
    script.yields('x');
    await client.count(1);
    const busy = await two.start({ id: 'a', run: 'm2' });
    expect(busy.status).toBe(409);
    script.returns();
    await settles(client.over);
    const again = await two.start({ id: 'a', run: 'm1' });
    await settles(again.over);
    expect([told(again), script.begun]).toEqual([['x', end('done')], 1]);
    const next = await two.start({ id: 'a', run: 'm2' });
    script.returns();
    await settles(next.over);
    expect(script.begun).toBe(2);
  });

  it('is not begun again by a client that posts once more to reconnect', async () => {
    const { script, one, two } = await pair();
    const client = await one.start();
    script.yields('a');
    await client.count(1);
    client.destroy();
    script.yields('b');
    script.returns();
    await ended(one);
    const back = await two.start({ id: 'a' }, { 'Last-Event-ID': client.lastEventId });
    await settles(back.over);
    expect(told(back)).toEqual(['b', end('done')]);
    expect((await two.start({ id: 'a' }, { 'Last-Event-ID': 'sluice.stop' })).status).toBe(204);
    expect(script.begun).toBe(1);
  });

  it('is cancelled from any instance, and its readers keep what was produced', async () => {
    const { script, one, two } = await pair();
    const client = await one.start();
    script.yields('a');
    await client.count(1);
    expect(await two.cancel()).toBe(204);
    await settles(client.over);
    expect(told(client)).toEqual(['a', end('cancelled')]);
    expect(script.signal?.reason).toMatchObject({ code: 'ERR_SLUICE_RUN_CANCELLED', reason: 'requested' });
    const [last] = await ended(one);
    expect(last).toMatchObject({ status: 'cancelled', value: { partial: true } });
    expect(last!.error).toBeInstanceOf(RunCancelledError);
    expect([await two.cancel(), await one.cancel(), await one.cancel('other')]).toEqual([204, 204, 404]);
    expect([one.ends.length, two.ends.length]).toEqual([1, 0]);
  });

  it('that fails tells its readers, and no secret', async () => {
    const { script, one } = await pair();
    script.yields('a');
    script.throws(new Error('the password is 1234'));
    const client = await one.start();
    await settles(client.over);
    expect(told(client)).toEqual(['a', end('failed')]);
    expect((await ended(one))[0]).toMatchObject({ status: 'failed', error: new Error('the password is 1234') });
  });

  it('is not there before it is begun', async () => {
    const { one } = await pair();
    expect([(await one.resume()).status, await one.cancel()]).toEqual([204, 404]);
  });
});
