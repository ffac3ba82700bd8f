// A channel with many clients in gzip, some slow readers and some that stopped reading. All others get every event, and
// the event loop of the server stays free meanwhile.
import { Child } from '../../../bench/support/child.js';

/**
 * Runs it. Resolves with numbers of the server, and with all that was wrong.
 * @param {object} options
 * @param {number} options.clients
 * @param {number} options.slow
 * @param {number} options.stopped
 * @param {number} options.events
 * @param {number} options.interval ms between two events
 */
export async function audience({ clients, slow, stopped, events, interval }) {
  const folder = '../../test/channel/audience';
  const server = new Child('server', `${folder}/server.js`);
  const readers = new Child('clients', `${folder}/clients.js`);
  try {
    const port = await server.call('listen');
    await readers.call('open', port, { clients, slow, stopped });
    await server.call('joined', clients + slow + stopped);
    const numbers = await server.call('publish', events, interval);
    const lagging = await server.call('end');
    return { ...numbers, lagging, faults: await readers.call('check', events) };
  } finally {
    await Promise.all([server.stop(), readers.stop()]);
  }
}
