// What the page can change: each is a POST to this server.
import { count, make, none, percent, setText } from './format.js';

const find = (selector) => document.querySelector(selector);

/**
 * Asks the server for a change. Rejects with an error whose message can be shown.
 *
 * @param {'switch' | 'evict' | 'canary' | 'drain'} name
 * @param {object} body
 */
export async function post(name, body) {
  const response = await fetch(name, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-sluice': '1' },
    body: JSON.stringify(body),
  }).catch(() => {
    throw new Error('The server does not answer.');
  });
  if (response.ok) return response.json();
  const { message } = await response.json().catch(() => ({}));
  throw new Error(message ?? `The server answered ${response.status}.`);
}

/** Runs an action of a card, and shows there how it failed. @param {Element} card @param {() => Promise<unknown>} action */
async function run(card, action) {
  const failure = card.querySelector('.failure');
  setText(failure, '');
  try {
    await action();
  } catch (error) {
    setText(failure, error.message);
  }
}

/** The cards of settings. */
export class Settings {
  #canaries = new Map();

  constructor() {
    this.#listenToSwitch();
    this.#listenToProfile();
    this.#listenToDrain();
  }

  /** Hides what cannot be changed, and says why. @param {any} settings */
  configure({ actions, profiles }) {
    for (const [selector, isGiven] of [
      ['#compression', actions.switch],
      ['#canaries', actions.canary],
      ['#process', actions.drain],
      ['#connections', actions.evict],
    ]) {
      find(`${selector} > .empty`).hidden = isGiven;
      find(`${selector} > .given`).hidden = !isGiven;
    }
    find('#profile').hidden = profiles.length === 0;
    find('#profile-name').replaceChildren(...profiles.map((name) => make('option', { value: name }, name)));
  }

  /** @param {any} snapshot */
  show({ compression, proxy, lifecycle, connections }) {
    if (compression) {
      const toggle = find('#switch');
      toggle.setAttribute('aria-checked', String(compression.enabled));
      setText(toggle.querySelector('.word'), compression.enabled ? 'On' : 'Off');
    }
    for (const [name, canary] of Object.entries(proxy.canaries)) this.#showCanary(name, canary);
    find('#drain').disabled = lifecycle !== 'active';
    setText(find('#confirm-drain .count'), `all ${count(connections.connections)}`);
  }

  #listenToSwitch() {
    const toggle = find('#switch');
    toggle.addEventListener('click', () => {
      const enabled = toggle.getAttribute('aria-checked') !== 'true';
      void run(find('#compression'), () => post('switch', { enabled }));
    });
  }

  #listenToProfile() {
    find('#profile').addEventListener('submit', (event) => {
      event.preventDefault();
      const button = event.target.querySelector('button');
      button.disabled = true;
      void run(find('#compression'), () => post('switch', { profile: find('#profile-name').value })).finally(() => {
        button.disabled = false;
      });
    });
  }

  #listenToDrain() {
    const dialog = find('#confirm-drain');
    find('#drain').addEventListener('click', () => dialog.showModal());
    find('#confirm-no').addEventListener('click', () => dialog.close());
    find('#confirm-yes').addEventListener('click', () => {
      dialog.close();
      void run(find('#process'), () => post('drain', {}));
    });
  }

  #showCanary(name, { version, weights, arms }) {
    let card = this.#canaries.get(name);
    if (!card) {
      card = new CanaryForm(name);
      this.#canaries.set(name, card);
    }
    card.show(version, weights, arms);
  }
}

/** The weights of one canary. What the user has typed stays until it is applied, or taken back. */
class CanaryForm {
  #name;
  #form;
  #arms = new Map();
  #version = 0;

  constructor(name) {
    this.#name = name;
    this.#form = make(
      'form',
      { 'aria-label': `Weights of ${name}` },
      make('h4', {}, name),
      make(
        'table',
        { class: 'figures' },
        make(
          'thead',
          {},
          make(
            'tr',
            {},
            ...['Arm', 'Weight', 'Share', 'Requests', 'Failures'].map((text) => make('th', { scope: 'col' }, text)),
          ),
        ),
        make('tbody'),
      ),
      make(
        'div',
        { class: 'row end' },
        make('span', { class: 'muted version' }),
        make('button', { type: 'submit' }, 'Apply weights'),
      ),
    );
    this.#form.addEventListener('input', () => this.#showShares());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const weights = Object.fromEntries([...this.#arms].map(([arm, { input }]) => [arm, input.valueAsNumber]));
      void run(find('#canaries'), () => post('canary', { name: this.#name, weights }));
    });
    find('#canaries .given').append(this.#form);
  }

  show(version, weights, arms) {
    // Another change has been made: what is there now counts.
    const isNew = version !== this.#version;
    this.#version = version;
    for (const [arm, weight] of Object.entries(weights)) {
      const row = this.#armOf(arm);
      if (isNew) row.input.value = String(weight);
      setText(row.requests, count(arms[arm]?.requests ?? 0));
      setText(row.failures, count(arms[arm]?.failures ?? 0));
    }
    setText(this.#form.querySelector('.version'), `version ${version}`);
    this.#showShares();
  }

  #armOf(arm) {
    const known = this.#arms.get(arm);
    if (known) return known;
    const input = make('input', {
      type: 'number',
      min: '0',
      step: 'any',
      required: '',
      'aria-label': `Weight of ${arm}`,
    });
    const row = { input, share: make('td'), requests: make('td'), failures: make('td') };
    this.#form
      .querySelector('tbody')
      .append(
        make('tr', {}, make('th', { scope: 'row' }, arm), make('td', {}, input), row.share, row.requests, row.failures),
      );
    this.#arms.set(arm, row);
    return row;
  }

  #showShares() {
    const rows = [...this.#arms.values()];
    const total = rows.reduce((sum, { input }) => sum + (input.valueAsNumber || 0), 0);
    for (const { input, share } of rows) {
      setText(share, total > 0 ? percent((input.valueAsNumber || 0) / total) : none);
    }
  }
}
