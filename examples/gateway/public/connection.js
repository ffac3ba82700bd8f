import { withParams } from './address.js';

// An EventSource that also notices a server that is silent, and outlives being refused.

// Samples come twice a second: after this much silence the connection is dead, though nothing closed it.
const longestSilence = 10_000;
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
  let source;
  let isLive;
  let lastId = '';
  let lostAt;
  let timer;

  function open() {
    source?.close();
    isLive = false;
    // The header that carries the last id belongs to one EventSource, and is not known to the next.
    source = new EventSource(lastId === '' ? url : withParams(url, [['after', lastId]]));
    source.addEventListener('open', opened);
    source.addEventListener('error', failed);
    for (const [name, take] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        lastId = event.lastEventId || lastId;
        reopenAfter(longestSilence);
        live();
        take(JSON.parse(event.data));
      });
    }
    reopenAfter(longestSilence);
  }

  function opened() {
    reopenAfter(longestSilence);
  }

  /** Not before it has an event: a server that drains answers, and only to say that the next one is to be asked. */
  function live() {
    if (isLive) return;
    isLive = true;
    lostAt = undefined;
    onState('live');
  }

  function failed() {
    lost();
    // Any answer but 200 is final for an EventSource, also that of a proxy while the server restarts.
    if (source.readyState === EventSource.CLOSED) reopenAfter(reopenDelay);
  }

  function lost() {
    isLive = false;
    lostAt ??= Date.now();
    onState(Date.now() - lostAt < patience ? 'reconnecting' : 'gone');
  }

  function reopenAfter(delay) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      lost();
      open();
    }, delay);
  }

  open();
  return open;
}
