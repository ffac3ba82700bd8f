// A reader in TypeScript. It is compiled with the types of Node, and with those of browsers alone.
import { ClientError, type ClientOptions, connect, type EventConnection } from 'sluice/client';

interface Prices {
  price: { symbol: string; value: number };
  closed: { reason: string };
}

const options: ClientOptions = {
  method: 'POST',
  headers: async () => ({ Authorization: 'Bearer token' }),
  body: () => JSON.stringify({ symbols: ['A'] }),
  fetch: (url, init) => fetch(url, init),
  signal: new AbortController().signal,
  retry: { max: 10_000 },
};

export async function read(url: URL): Promise<number> {
  const connection: EventConnection<Prices> = connect<Prices>(url, options);
  const undo = connection.onStateChange(({ state, error, delay }) => {
    if (state === 'waiting' && delay !== undefined && error) console.error(error.code, delay);
  });
  let sum = 0;
  try {
    for await (const event of connection) {
      if (event.type === 'closed') return event.json().reason.length;
      sum += event.json().value;
    }
  } catch (error) {
    if (!(error instanceof ClientError) || error.status !== 401) throw error;
  }
  undo();
  return sum;
}
