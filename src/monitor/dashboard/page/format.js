// Numbers and times as text.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

export const none = '–';

/** @param {number | null | undefined} value */
export function count(value) {
  return value == null ? none : whole.format(value);
}

const sizes = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** @param {number} value - bytes */
export function bytes(value) {
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 999.5 && unit < sizes.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${value < 0 ? '−' : ''}${unit === 0 ? whole.format(size) : short.format(size)} ${sizes[unit]}`;
}

/** @param {number} value - bytes a second */
export function rate(value) {
  return `${bytes(value)}/s`;
}

/** @param {number | null | undefined} value - 0 to 1 */
export function percent(value) {
  return value == null ? none : `${value > 0 && value < 0.1 ? short.format(value * 100) : whole.format(value * 100)} %`;
}

/** @param {number | null | undefined} value - ms */
export function ms(value) {
  if (value == null) return none;
  if (value >= 10_000) return duration(value);
  if (value >= 1000) return `${short.format(value / 1000)} s`;
  return `${value < 10 ? (Math.round(value * 10) / 10).toString() : whole.format(value)} ms`;
}

/** @param {number | null | undefined} value - s */
export function seconds(value) {
  return value == null ? none : ms(value * 1000);
}

/** @param {number} value - ms */
export function duration(value) {
  const all = Math.floor(value / 1000);
  const [days, hours, minutes, rest] = [
    Math.floor(all / 86_400),
    Math.floor(all / 3600) % 24,
    Math.floor(all / 60) % 60,
    all % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${rest} s`;
  return `${rest} s`;
}

/** @param {number} time - ms since 1970 */
export function clock(time) {
  return clockFormat.format(time);
}

/** Sets the text of an element where it is another. What comes from clients is only ever set by this. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes an element. @param {string} name @param {Record<string, string>} [attributes] @param {...(Node | string)} children */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/**
 * Fills a body of a table, and leaves in place what stays: the user may have selected it. The first cell of a row is
 * its header.
 *
 * @param {HTMLTableElement} table - with `data-empty` for no rows
 * @param {{ cells: string[], state?: string }[]} rows
 */
export function fillTable(table, rows) {
  const [body] = table.tBodies;
  const { empty } = table.dataset;
  if (rows.length === 0 && empty !== undefined) {
    if (!body.querySelector('.none')) {
      const cell = make('td', { colspan: String(table.tHead.rows[0].cells.length), class: 'none' }, empty);
      body.replaceChildren(make('tr', {}, cell));
    }
    return;
  }
  body.querySelector('.none')?.closest('tr').remove();
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  for (const [index, { cells, state = '' }] of rows.entries()) {
    const row = body.rows[index] ?? body.insertRow();
    if (row.dataset.state !== state) row.dataset.state = state;
    for (const [column, text] of cells.entries()) {
      const cell = row.cells[column] ?? row.appendChild(column === 0 ? make('th', { scope: 'row' }) : make('td'));
      setText(cell, text);
      if (column === 0 && cell.title !== text) cell.title = text;
      if (column > 0) cell.dataset.zero = String(text === '0' || text === none);
    }
  }
}

/**
 * Fills a list of terms, in the same way.
 *
 * @param {HTMLDListElement} list
 * @param {{ term: string, value: string, note?: string, state?: string }[]} facts
 */
export function fillFacts(list, facts) {
  while (list.children.length > facts.length) list.lastElementChild.remove();
  for (const [index, { term, value, note = '', state = '' }] of facts.entries()) {
    const entry = /** @type {HTMLElement} */ (
      list.children[index] ??
        list.appendChild(make('div', {}, make('dt'), make('dd', { class: 'value' }), make('dd', { class: 'note' })))
    );
    const [name, number, small] = /** @type {HTMLCollectionOf<HTMLElement>} */ (entry.children);
    setText(name, term);
    setText(number, value);
    setText(small, note);
    small.hidden = note === '';
    if (entry.dataset.state !== state) entry.dataset.state = state;
  }
}
