import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Running } from '../support/carriers.ts';
import type { Player } from './interpreter.ts';
import { readMessages, type Reading } from './messages.ts';
import { nowOr, whenClosed } from './patience.ts';
import type { Scenario } from './script.ts';
import type { Visit } from './site.ts';

/** A connection, and what came on it. */
class Line {
  readonly socket: net.Socket;
  ended: 'open' | 'end' | 'error' = 'open';
  isClosed = false;
  #pieces: Buffer[] = [];

  constructor(port: number, isSlow: boolean) {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      if (!isSlow) return;
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    socket.on('error', () => (this.ended = 'error'));
    socket.on('end', () => {
      if (this.ended === 'open') this.ended = 'end';
      socket.end();
    });
    socket.on('close', () => {
      this.isClosed = true;
      if (this.ended === 'open') this.ended = 'end';
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

/** Sends the requests of a scenario, and reads what comes. */
export async function visitHttp1(running: Running, scenario: Scenario, players: readonly Player[]): Promise<Visit> {
  const line = new Line(running.port, scenario.client === 'slow');
  const { socket } = line;
  await nowOr(() => socket.readyState === 'open');
  const methods = scenario.client === 'pipelines' ? [scenario.method, 'GET'] : [scenario.method];
  socket.write(
    methods
      .map((method, index) => request({ ...scenario, method: method as 'GET' }, index === 0 ? '/first' : '/second'))
      .join(''),
  );
  const hasLeft = await behave(line, scenario, players);
  const read = (): Reading => readMessages(line.received, methods, line.ended === 'end');
  const isWhole = (): boolean => isComplete(read(), methods.length);
  // Once the server is through with it, what was sent is with the kernel.
  await nowOr(() => players.length === methods.length || line.isClosed);
  const isOver = await whenClosed(players, () => line.isClosed);
  if (!hasLeft) await nowOr(() => line.ended !== 'open' || isWhole(), 60);
  await delay(1);
  const received = line.received;
  const isReady = line.ended === 'open' && isWhole() && read().rest.length === 0 && scenario.client !== 'half-closes';
  const left = hasLeft ? 'left' : isReady ? await askAgain(line, methods) : await howItEnds(line, scenario);
  const reading = readMessages(isReady ? received : line.received, methods, line.ended === 'end');
  socket.destroy();
  await delay(0);
  return {
    messages: reading.messages,
    hasRest: reading.rest.length > 0,
    connection: `${isOver ? '' : 'never closed, '}${left}`,
  };
}

/** @returns whether the client has left. */
async function behave({ socket }: Line, scenario: Scenario, players: readonly Player[]): Promise<boolean> {
  if (scenario.client === 'half-closes') socket.end();
  if (!scenario.client.startsWith('leaves')) return false;
  await nowOr(() => players.length > 0);
  if (scenario.client === 'leaves at the head')
    await nowOr(() => socket.bytesRead > 0 || socket.destroyed || players[0]!.trace.events.includes('close'));
  socket.destroy();
  return true;
}

function isComplete({ messages }: Reading, count: number): boolean {
  return messages.length === count && messages.every((message) => message.complete);
}

async function askAgain(line: Line, methods: readonly string[]): Promise<string> {
  line.socket.write(request({ method: 'GET', version: '1.1', connection: 'none', accepts: '' }, '/after'));
  const read = (): Reading => readMessages(line.received, [...methods, 'GET'], line.ended === 'end');
  await nowOr(() => line.ended !== 'open' || isComplete(read(), methods.length + 1), 3000);
  if (isComplete(read(), methods.length + 1)) return 'serves another';
  return line.ended === 'open' ? 'open, and silent' : 'closed';
}

async function howItEnds(line: Line, { client }: Scenario): Promise<string> {
  await nowOr(() => line.ended !== 'open', client === 'half-closes' ? 100 : 5);
  return line.ended === 'open' ? 'open' : 'closed';
}

type Request = Pick<Scenario, 'method' | 'version' | 'connection' | 'accepts'>;

function request({ method, version, connection, accepts }: Request, path: string): string {
  const lines = [`${method} ${path} HTTP/${version}`, 'Host: test'];
  if (accepts !== '') lines.push(`Accept-Encoding: ${accepts}`);
  if (connection !== 'none') lines.push(`Connection: ${connection}`);
  if (method === 'POST') lines.push('Content-Length: 3');
  return `${lines.join('\r\n')}\r\n\r\n${method === 'POST' ? 'abc' : ''}`;
}
