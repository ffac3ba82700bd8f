// Checked by the compiler alone: `npx tsc -p tsconfig.json`. An error that does not come is an error too.
import { type Channel, createChannel } from '../../src/index.ts';

interface Events {
  tick: { readonly price: number };
  message: string;
}

// Without a map everything goes.
const any: Channel = createChannel({ name: 'any' });
void any.publish('text');
void any.publish({ event: 'other', data: [1, 2] }, { key: 'k', idempotencyKey: 'i' });
any.subscribe({ filter: ({ data }) => data.anything === 1, map: (event) => ({ data: event.id }) });

// With one, names and data belong together.
const typed = createChannel<Events>({ name: 'typed', history: { bytes: '1mb' } });
void typed.publish('a message is a string');
void typed.publish({ data: 'and needs no name' });
void typed.publish({ event: 'tick', data: { price: 1 } });
void typed.end({ event: 'tick', data: { price: 2 } });
// @ts-expect-error: the data of a tick is an object
void typed.publish({ event: 'tick', data: 'high' });
// @ts-expect-error: there is no such event
void typed.publish({ event: 'tock', data: { price: 1 } });
typed.subscribe({
  from: 'latest',
  filter: (event, req) => event.event !== 'tick' || event.data.price > Number(req.headers['x-least']),
  map: (event) => (event.event === 'tick' ? { event: 'cents', data: event.data.price * 100 } : event),
  authorize: (req) => req.headers.authorization !== undefined && { until: new Date(), identity: 1 },
});
// @ts-expect-error: there is no such start
typed.subscribe({ from: 'never' });
// @ts-expect-error: a filter answers at once
typed.subscribe({ filter: () => Promise.resolve(true) });
typed.on('leave', ({ reason, subscriber }) => void [reason === 'ended', subscriber.id]);
// @ts-expect-error: there is no such event
typed.on('left', () => undefined);
