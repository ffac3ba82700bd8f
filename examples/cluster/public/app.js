import { connect } from 'sluice/client';
import { answerHere } from './answer.js';
import { fillCard, make, makeCard, note } from './cards.js';
import { Sequence } from './sequence.js';

const $ = (id) => document.getElementById(id);

// As the instances have it. 2.5 times this much silence is a dead connection.
const heartbeat = 1_000;
const retry = { min: 200, max: 2_000 };

/** One stream of ticks: who serves it, and whether a number is missing. */
class Stream {
  sequence = new Sequence();
  instance = '';
  state = 'connecting';
  resets = 0;

  constructor(name, url) {
    this.name = name;
    this.url = url;
    this.card = makeCard();
    $('streams').append(this.card);
  }

  async run() {
    const connection = connect(this.url, { heartbeat, retry, fetch: (url, init) => this.fetch(url, init) });
    connection.onStateChange(({ state }) => {
      this.state = state;
      this.show();
    });
    for await (const event of connection) {
      if (event.type === 'tick') this.sequence.take(event.json().number);
      else if (event.type === 'sluice.reset') this.reset();
      this.show();
    }
  }

  async fetch(url, init) {
    const response = await fetch(url, init);
    const instance = response.headers.get('X-Instance') ?? '?';
    if (instance !== this.instance) {
      const moved = this.instance === '' ? `is served by ${instance}` : `moved from ${this.instance} to ${instance}`;
      note(`Stream ${this.name} ${moved}`);
    }
    this.instance = instance;
    return response;
  }

  /** The log of the channel does not go back as far as this stream was: it is told. */
  reset() {
    this.resets += 1;
    this.sequence.newest = undefined;
    note(`Stream ${this.name} was told of a gap`);
  }

  show() {
    const { received, missed, twice, newest } = this.sequence;
    fillCard(this.card, {
      title: `Stream ${this.name}`,
      state: this.state === 'open' ? 'up' : 'silent',
      badge: this.state === 'open' ? `instance ${this.instance}` : this.state,
      facts: { newest: newest ?? '–', received, missed, twice, resets: this.resets },
    });
    showProof();
  }
}

const streams = [];

function showProof() {
  const sum = (of) => streams.reduce((total, stream) => total + of(stream), 0);
  const [received, missed, twice, resets] = [
    sum(({ sequence }) => sequence.received),
    sum(({ sequence }) => sequence.missed),
    sum(({ sequence }) => sequence.twice),
    sum((stream) => stream.resets),
  ];
  const isWhole = missed + twice + resets === 0;
  $('proof').dataset.state = isWhole ? 'up' : 'down';
  $('proof').textContent = `${received.toLocaleString()} events, ${missed} missed, ${twice} twice, ${resets} gaps told`;
}

const cards = new Map();

/** In which states of an instance each button does something. */
const states = { kill: ['up', 'silent'], pause: ['up'], resume: ['silent'] };

function showInstances(instances) {
  for (const { name, pid, state, connections } of instances) {
    const before = cards.get(name);
    const card = before ?? makeInstanceCard(name);
    if (!before) $('instances').append(card);
    cards.set(name, card);
    if (before && card.dataset.state !== state) note(`Instance ${name} is ${state}`);
    fillCard(card, { title: `Instance ${name}`, state, badge: state, facts: { process: pid ?? '–', connections } });
    for (const button of card.querySelectorAll('button')) {
      button.disabled = !states[button.dataset.action].includes(state);
    }
  }
}

function makeInstanceCard(name) {
  const card = makeCard();
  const buttons = [
    ['kill', 'Kill'],
    ['pause', 'Pause'],
    ['resume', 'Resume'],
  ].map(([action, text]) => {
    const button = make('button', text);
    button.type = 'button';
    button.dataset.action = action;
    button.ariaLabel = `${text} instance ${name}`;
    button.addEventListener('click', () => void post(`/instances/${name}/${action}`, `${text} instance ${name}`));
    return button;
  });
  const row = make('p', ...buttons);
  row.className = 'buttons';
  card.append(row);
  return card;
}

async function post(url, text) {
  try {
    const response = await fetch(url, { method: 'POST' });
    $('failure').textContent = response.ok ? '' : (await response.json()).error;
    if (response.ok) note(`You: ${text}`);
  } catch {
    $('failure').textContent = 'The program that runs the cluster does not answer.';
  }
}

async function followFleet() {
  for await (const { type, data } of connect('/fleet')) if (type === 'fleet') showInstances(JSON.parse(data));
}

$('cut').addEventListener('click', () => void post('/cut', 'Cut all connections'));
void followFleet();
const ports = await (await fetch('/ports')).json();
answerHere(ports.answers);
for (const name of ['1', '2', '3', '4']) {
  const stream = new Stream(name, `${location.protocol}//${location.hostname}:${ports.ticks}/ticks`);
  streams.push(stream);
  stream.show();
  void stream.run();
}
