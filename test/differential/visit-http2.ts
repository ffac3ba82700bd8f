import http2 from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import type { Running } from '../support/carriers.ts';
import type { Player } from './interpreter.ts';
import type { Message } from './messages.ts';
import { nowOr, whenClosed } from './patience.ts';
import type { Scenario } from './script.ts';
import type { Visit } from './site.ts';

/** Sends the request of a scenario on a connection of its own, and reads what comes. */
export async function visitHttp2(running: Running, scenario: Scenario, players: readonly Player[]): Promise<Visit> {
  const session = http2.connect(running.origin);
  session.on('error', () => undefined);
  const first = new Exchange(session, scenario, '/first');
  await nowOr(() => players.length > 0);
  if (scenario.client === 'leaves at the head') await nowOr(() => first.status !== '' || first.isOver);
  if (scenario.client.startsWith('leaves')) first.req.close(http2.constants.NGHTTP2_CANCEL);
  const isOver = await whenClosed(players, () => first.isOver || session.destroyed);
  await nowOr(() => first.isOver, 50);
  const message = first.message();
  const waits = first.isOver ? '' : 'the client waits, ';
  const left = session.destroyed || session.closed ? 'closed' : await askAgain(session, scenario);
  session.destroy();
  await delay(0);
  const connection = `${isOver ? '' : 'never closed, '}${waits}${left}`;
  return { messages: message.statusLine === '' ? [] : [message], hasRest: false, connection };
}

async function askAgain(session: http2.ClientHttp2Session, scenario: Scenario): Promise<string> {
  const again = new Exchange(session, { ...scenario, method: 'GET', client: 'reads' }, '/after');
  await nowOr(() => again.isOver);
  return again.message().complete ? 'serves another' : 'breaks at another';
}

/** One stream of a connection. */
class Exchange {
  readonly req: http2.ClientHttp2Stream;
  status = '';
  isOver = false;
  #interim: string[] = [];
  #pieces: Buffer[] = [];
  #fields: [string, string][] = [];
  #trailers: string[] = [];
  #hasEnded = false;

  constructor(session: http2.ClientHttp2Session, { method, accepts, client }: Scenario, path: string) {
    const accepted = accepts === '' ? {} : { 'accept-encoding': accepts };
    const req = session.request({ ':path': path, ':method': method, ...accepted }, { endStream: method !== 'POST' });
    this.req = req;
    if (method === 'POST') req.end('abc');
    req.on('headers', (head) => this.#interim.push(`${head[':status']} ${flat(head).join(' ')}`));
    req.on('response', (head) => {
      this.status = String(head[':status']);
      this.#fields = flat(head);
    });
    req.on('trailers', (head) => (this.#trailers = flat(head).map((each) => each.join(': '))));
    req.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      if (client !== 'slow') return;
      req.pause();
      setTimeout(() => req.resume(), 1);
    });
    req.on('end', () => (this.#hasEnded = true));
    req.on('error', () => undefined);
    req.on('close', () => (this.isOver = true));
  }

  message(): Message {
    const body = Buffer.concat(this.#pieces);
    const complete = this.#hasEnded && this.req.rstCode === 0;
    return {
      interim: this.#interim,
      statusLine: this.status,
      fields: this.#fields,
      body,
      trailers: this.#trailers,
      complete,
      raw: body,
    };
  }
}

function flat(head: object): [string, string][] {
  return Object.entries(head as Record<string, string | string[]>)
    .filter(([name]) => name !== 'date' && name !== ':status')
    .map(([name, value]): [string, string] => [name, String(value)])
    .sort();
}
