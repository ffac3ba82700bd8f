import { ClientError, connect } from '../../src/client/index.ts';

interface Prices {
  price: { symbol: string; value: number };
  closed: { reason: string };
}

export async function typed(): Promise<void> {
  const connection = connect<Prices>('https://example.com/prices');
  for await (const event of connection) {
    if (event.type === 'price') event.json().value.toFixed();
    else event.json().reason.trim();
    // @ts-expect-error there is no such event
    if (event.type === 'prize') break;
    // @ts-expect-error the data of both are different
    event.json().value.toFixed();
    event.data.trim();
  }
  // @ts-expect-error only `close()` ends it
  connection.state = 'closed';
}

export async function untyped(): Promise<void> {
  for await (const event of connect('/ticks', { heartbeat: Infinity })) {
    const { now }: { now: number } = event.json();
    now.toFixed();
    if (event.type === 'anything') break;
  }
  // @ts-expect-error the names are fixed
  connect('/ticks', { heartbeats: 15_000 });
  // @ts-expect-error not a boolean
  connect('/ticks', { reconnect: true });
  // @ts-expect-error not one of the codes
  new ClientError('ERR_SLUICE_CLIENT_CLOSED', 'closed');
}
