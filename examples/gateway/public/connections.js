const states = ['healthy', 'read-late', 'write-late', 'dead'];
const titles = {
  http1: 'HTTP/1.1',
  http2: 'HTTP/2',
  'http2-stream': 'HTTP/2 streams',
  websocket: 'WebSocket',
  socket: 'Socket',
};

/**
 * Shows what the server's registry of connections counts: those of all its clients.
 *
 * @param {HTMLElement} card
 * @param {object} stats - `ended` and `heartbeats` count from the start of the process
 */
export function showConnections(
  card,
  { connections, unresponsive_ratio: unresponsive, avg_heartbeat_rt: roundTrip, transports, ended, heartbeats },
) {
  const find = (selector) => card.querySelector(selector);
  card.dataset.open = String(connections);
  find('.value strong').textContent = String(connections);
  find('.value small').textContent = 'open';
  find('.unresponsive').textContent = `${Math.round(100 * unresponsive)} %`;
  find('.round-trip').textContent =
    roundTrip === null ? '–' : `${roundTrip < 10 ? roundTrip.toFixed(1) : Math.round(roundTrip)} ms`;
  find('.heartbeats').textContent = String(heartbeats);
  find('.ended').textContent = String(Object.values(ended).reduce((sum, count) => sum + count, 0));
  find('.reasons').textContent = Object.entries(ended)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
  find('tbody').replaceChildren(
    ...Object.keys(titles).flatMap((transport) =>
      transports[transport] ? [toRow(transport, transports[transport])] : [],
    ),
  );
}

function toRow(transport, counts) {
  const row = document.createElement('tr');
  row.dataset.transport = transport;
  const title = document.createElement('th');
  title.scope = 'row';
  title.textContent = titles[transport];
  row.append(title, ...states.map((state) => toCell(state, counts[state])));
  return row;
}

function toCell(state, count) {
  const cell = document.createElement('td');
  Object.assign(cell.dataset, { state, count: String(count) });
  cell.textContent = String(count);
  return cell;
}
