import { connect as openConnection } from 'sluice/client';

// Samples come twice a second: 2.5 times this much silence is a dead connection, though nothing closed it.
const heartbeat = 4_000;
const retry = { min: 1_000, max: 3_000 };
const reopenDelay = 3_000;
const patience = 15_000;

/**
 * Keeps a stream of events coming, for as long as the page lives. Returns what asks for it anew, from where it is.
 *
 * @param {string} url
 * @param {object} options
 * @param {Record<string, (data: unknown) => void>} options.events - what to do with the data of each event, by its name
 * @param {(state: 'live' | 'reconnecting' | 'gone') => void} options.onState - `live`: the first event of a stream is
 * there; `gone`: no answer for a while, still trying
 */
export function connect(url, { events, onState }) {
  let current;
  let isLive;
  let lostAt;

  function open() {
    const lastEventId = current?.lastEventId ?? '';
    current?.close();
    isLive = false;
    const opened = openConnection(url, { heartbeat, retry, lastEventId });
    current = opened;
    opened.onStateChange(({ state }) => {
      if (state === 'waiting' && current === opened) lost();
    });
    void keep(opened);
  }

  /** Any answer that is final for the client may be that of a proxy while the server restarts. */
  async function keep(opened) {
    try {
      await read(opened);
    } catch (error) {
      console.warn('The stream of metrics broke:', error);
    }
    if (current !== opened) return;
    lost();
    setTimeout(() => {
      if (current === opened) open();
    }, reopenDelay);
  }

  async function read(opened) {
    for await (const event of opened) {
      live();
      events[event.type]?.(event.json());
    }
  }

  /** Not before it has an event: a server that drains answers, and only to say that the next one is to be asked. */
  function live() {
    if (isLive) return;
    isLive = true;
    lostAt = undefined;
    onState('live');
  }

  function lost() {
    isLive = false;
    lostAt ??= Date.now();
    onState(Date.now() - lostAt < patience ? 'reconnecting' : 'gone');
  }

  open();
  return open;
}
