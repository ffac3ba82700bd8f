// The list of connections. Only the rows that can be seen are in the document, and are asked for.
import { post } from './actions.js';
import { bytes, count, duration, make, ms, none, setText } from './format.js';

const rowHeight = 34;
/** Rows above and below what can be seen. */
const margin = 10;
/** How often what can be seen is asked for again, in ms. */
const every = 2000;

const words = { healthy: 'Healthy', 'read-late': 'Read late', 'write-late': 'Write late', dead: 'Dead' };

export class ConnectionTable {
  #scroller = document.getElementById('rows');
  #table = this.#scroller.querySelector('table');
  #body = this.#table.tBodies[0];
  #above = spacer();
  #below = spacer();
  /** Rows of the document, by registry and id. @type {Map<string, Row>} */
  #rows = new Map();
  /** The request under way. @type {AbortController | undefined} */
  #request;
  #timer;
  #isOn = false;
  #shown = '';

  constructor() {
    this.#body.append(this.#above, this.#below);
    this.#scroller.addEventListener('scroll', () => this.#scheduleLoad(), { passive: true });
    new ResizeObserver(() => this.#scheduleLoad()).observe(this.#scroller);
    const form = document.querySelector('#filter');
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('input', () => {
      this.#scroller.scrollTop = 0;
      this.#scheduleLoad(150);
    });
    this.#body.addEventListener('click', (event) => {
      const { target } = event;
      const row = target instanceof Element ? target.closest('button')?.closest('tr') : undefined;
      if (row) void this.#evict(row.dataset.registry, row.dataset.id);
    });
    document.addEventListener('visibilitychange', () => this.#scheduleLoad());
  }

  /** @param {boolean} isOn - whether there are registries */
  configure(isOn) {
    this.#isOn = isOn;
    this.#scheduleLoad();
  }

  #scheduleLoad(delay = 0) {
    clearTimeout(this.#timer);
    if (this.#isOn && !document.hidden) this.#timer = setTimeout(() => void this.#load(), delay);
  }

  /** The rows that can be seen, from the first one on. */
  #window() {
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / rowHeight) - margin);
    return { first, limit: Math.ceil(this.#scroller.clientHeight / rowHeight) + 2 * margin };
  }

  async #load() {
    const { first, limit } = this.#window();
    const chosen = (name) => /** @type {HTMLInputElement} */ (document.getElementById(`filter-${name}`)).value;
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const query = new URLSearchParams({
      offset: String(first),
      limit: String(limit),
      filter: chosen('text'),
      state: chosen('state'),
      transport: chosen('transport'),
    });
    const failure = document.querySelector('#connections > .given > .failure');
    try {
      const response = await fetch(`connections?${query}`, { signal: request.signal });
      if (!response.ok) throw new Error();
      this.#show(await response.json(), first);
      setText(failure, '');
    } catch {
      if (request.signal.aborted) return;
      setText(failure, 'The list cannot be loaded at this moment.');
    }
    this.#scheduleLoad(every);
  }

  #show({ total, rows }, first) {
    const focused = this.#body.contains(document.activeElement);
    const before = this.#rows;
    this.#rows = new Map();
    const elements = rows.map((info, index) => {
      const key = `${info.registry}/${info.id}`;
      const row = before.get(key) ?? new Row(info);
      this.#rows.set(key, row);
      row.show(info, first + index);
      return row.element;
    });
    // Rows that stay are not taken out and put back: one of them may have the focus.
    place(this.#body, this.#above, [...elements, this.#below]);
    this.#above.style.height = `${first * rowHeight}px`;
    this.#below.style.height = `${Math.max(0, total - first - rows.length) * rowHeight}px`;
    // The header is a row, too.
    this.#table.setAttribute('aria-rowcount', String(total + 1));
    if (focused && !this.#body.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    const nothing = /** @type {HTMLElement} */ (this.#scroller.querySelector('.nothing'));
    nothing.hidden = total > 0;
    const text = total === 1 ? '1 connection' : `${count(total)} connections`;
    setText(document.querySelector('#found'), text);
    // What was scrolled past the end, since there are fewer now.
    if (rows.length === 0 && total > 0 && this.#shown !== `${first}/${total}`) {
      this.#shown = `${first}/${total}`;
      this.#scheduleLoad();
    }
  }

  async #evict(registry, id) {
    const row = this.#rows.get(`${registry}/${id}`);
    const failure = document.querySelector('#connections > .given > .failure');
    const done = document.querySelector('#connections .done');
    row?.setBusy(true);
    try {
      await post('evict', { registry: Number(registry), id });
      setText(failure, '');
      setText(
        done,
        id.startsWith('upstream-') ? `${id} gets no requests for a while.` : `${id} was told to connect again.`,
      );
      done.classList.remove('hidden');
    } catch (error) {
      row?.setBusy(false);
      setText(failure, error.message);
    }
    this.#scheduleLoad(300);
  }
}

/** Stands for the rows that are not in the document. Screen readers have `aria-rowcount` instead. */
function spacer() {
  return make('tr', { class: 'spacer', 'aria-hidden': 'true' }, make('td'));
}

/** Puts elements behind another one, in their order, and removes what is between. */
function place(parent, start, elements) {
  let at = start;
  for (const element of elements) {
    while (at.nextSibling && at.nextSibling !== element && !elements.includes(at.nextSibling)) at.nextSibling.remove();
    if (at.nextSibling !== element) parent.insertBefore(element, at.nextSibling);
    at = element;
  }
}

class Row {
  element;
  #cells;
  #button = /** @type {HTMLButtonElement} */ (make('button', { type: 'button', class: 'quiet small' }, 'Evict'));

  constructor({ registry, id }) {
    const names = ['label', 'state', 'transport', 'address', 'age', 'silence', 'trip', 'buffered', 'id'];
    const numbers = ['age', 'silence', 'trip', 'buffered'];
    this.#cells = names.map((name) =>
      name === 'label'
        ? make('th', { scope: 'row', class: 'c-label' })
        : make('td', { class: `c-${name}${numbers.includes(name) ? ' number' : ''}` }),
    );
    this.element = make('tr', {}, ...this.#cells, make('td', { class: 'c-evict' }, this.#button));
    this.element.dataset.registry = String(registry);
    this.element.dataset.id = id;
    this.#button.setAttribute('aria-label', `Evict ${id}`);
  }

  show(info, index) {
    this.element.setAttribute('aria-rowindex', String(index + 2));
    this.element.dataset.state = info.state;
    const texts = [
      info.label ?? none,
      words[info.state] ?? info.state,
      info.transport,
      info.remoteAddress ?? none,
      duration(info.age),
      duration(info.silence),
      ms(info.roundTrip),
      info.bufferedBytes === 0 ? '0' : bytes(info.bufferedBytes),
      info.id,
    ];
    for (const [column, text] of texts.entries()) setText(this.#cells[column], text);
    this.#cells[0].title = info.label ?? '';
  }

  setBusy(isBusy) {
    this.#button.disabled = isBusy;
    setText(this.#button, isBusy ? 'Leaving' : 'Evict');
  }
}
