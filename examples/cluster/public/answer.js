import { connect } from 'sluice/client';
import { fillCard, makeCard, note, setText } from './cards.js';

const $ = (id) => document.getElementById(id);

// As the instances have it.
const heartbeat = 1_000;
const retry = { min: 200, max: 2_000 };

/** What the end of an answer is called here, and how good it is. */
const ends = {
  done: ['complete', 'up'],
  cancelled: ['stopped', 'silent'],
  interrupted: ['interrupted: the instance that wrote it died', 'down'],
  failed: ['failed', 'down'],
  gone: ['not kept any more', 'silent'],
};

/** A text that an instance writes, as this page reads it. */
class Answer {
  text = '';
  writer = '–';
  instance = '';
  state = 'connecting';
  /** How many characters there are, as the writer says at the end. */
  characters;
  /** How it ended. */
  status;
  isLeft = false;

  constructor(url, card) {
    this.url = url;
    this.card = card;
  }

  /** Begins it, and leaves: it goes on. The reader comes by a connection of its own, so to the other instance. */
  async ask(question, words) {
    const response = await fetch(this.url, { method: 'POST', body: new URLSearchParams({ question, words }) });
    if (!response.ok) throw new Error((await response.json()).error);
    await response.body.cancel();
  }

  /** Reads it from its first word. Each time that the connection breaks, it goes on where it was. */
  async read() {
    const connection = (this.connection = connect(this.url, {
      heartbeat,
      retry,
      fetch: (...each) => this.fetch(...each),
    }));
    connection.onStateChange(({ state }) => {
      this.state = state;
      this.show();
    });
    for await (const event of connection) {
      if (event.type === 'begun') this.writer = event.json().instance;
      else if (event.type === 'message') this.text += event.data;
      else if (event.type === 'whole') this.characters = event.json().characters;
      else if (event.type === 'sluice.reset') note('The answer was told of a gap');
      else if (event.type === 'sluice.end') this.end(event.json().status);
      this.show();
      if (this.status) break;
    }
    // Without an end there was nothing to read, or another answer has taken its place on the page.
    if (!this.status && !this.isLeft) this.end('gone');
    this.show();
  }

  end(status) {
    // Less than was written, or more, would be a fault: it is not called complete.
    const isWhole = this.characters === this.text.length;
    this.status = status === 'done' && !isWhole ? 'failed' : status;
    note(`The answer is ${ends[this.status][0]}`);
  }

  /** It goes on without this page. */
  leave() {
    this.isLeft = true;
    this.connection?.close();
  }

  /** At any instance: the one that writes hears of it. */
  async stop() {
    const response = await fetch(this.url, { method: 'DELETE' });
    note(`You: Stop the answer, by instance ${response.headers.get('X-Instance')}`);
  }

  async fetch(url, init) {
    const response = await fetch(url, init);
    // Nothing more to read.
    if (response.status === 204) return response;
    const instance = response.headers.get('X-Instance') ?? '?';
    if (instance !== this.instance) {
      const moved = this.instance === '' ? `is read from ${instance}` : `moved from ${this.instance} to ${instance}`;
      note(`The answer ${moved}`);
    }
    this.instance = instance;
    return response;
  }

  show() {
    if (this.isLeft) return;
    const [label, state] = ends[this.status] ?? [];
    const isOpen = this.state === 'open';
    fillCard(this.card, {
      title: 'Answer',
      state: state ?? (isOpen ? 'up' : 'silent'),
      badge: label ?? (isOpen ? `instance ${this.instance}` : this.state),
      facts: { 'written by': this.writer, characters: this.text.length, of: this.characters ?? '…' },
    });
    setText($('text'), this.text);
    $('stop').disabled = this.status !== undefined;
  }
}

/**
 * Shows the answer that the address of the page names, and asks questions where there is a form for it.
 * @param {number} port - of the instances
 */
export function answerHere(port) {
  const card = makeCard('div');
  let current;
  const follow = (id, begin) => {
    current?.leave();
    $('answer').append(card);
    const answer = (current = new Answer(`${location.protocol}//${location.hostname}:${port}/answers/${id}`, card));
    answer.show();
    if ($('second')) Object.assign($('second'), { href: `/answer.html#${id}`, hidden: false });
    const run = async () => {
      await begin?.(answer);
      if (!answer.isLeft) await answer.read();
    };
    run().catch((error) => setText($('answer-failure'), error.message));
  };
  $('ask')?.addEventListener('submit', (event) => {
    event.preventDefault();
    const { question, words } = Object.fromEntries(new FormData(event.target));
    const id = makeId();
    history.replaceState(null, '', `#${id}`);
    setText($('answer-failure'), '');
    follow(id, (answer) => answer.ask(question, words));
  });
  $('stop').addEventListener('click', () => void current.stop());
  const named = location.hash.slice(1);
  if (named) follow(named);
}

/** Not `randomUUID`: a page of another machine has none without TLS. */
function makeId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (each) => each.toString(36)).join('-');
}
