import net, { type AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRaw } from '../../support/raw.ts';
import { settles, until } from '../../support/until.ts';
import { fromClients, fromUpstreams, mutations } from './attacks.ts';
import { FramingError, type RawMessage, readAnswers, readRequests, statusOf, valuesOf } from './messages.ts';
import { SubjectProcess } from './subject-process.ts';
import { sluice } from './subjects.ts';

// SLUICE_FUZZ=10000 tries more of the random ones, and SLUICE_SEED others.
const cases = Number(process.env['SLUICE_FUZZ'] ?? 100);

/** Attacks at once, and not more than the proxy has time for. */
const atOnce = 8;

/** A proxy in front of an upstream, both in want of attackers. */
interface Victim {
  readonly child: SubjectProcess;
  readonly upstream: net.Server;
  readonly port: number;
}

let victim: Victim;
/** Answers by the path of the request. Any other path gets itself, as an answer. */
const answers = new Map<string, string>();

beforeAll(async () => {
  const child = new SubjectProcess(sluice);
  const upstream = net.createServer(serve);
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = await child.open(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, 'http1');
  victim = { child, upstream, port };
});

afterAll(async () => {
  await victim.child.stop();
  victim.upstream.close();
});

/** What a strict server could not read. */
const malformed: string[] = [];

function serve(socket: net.Socket): void {
  let received = '';
  let answered = 0;
  socket.on('error', () => undefined).setEncoding('latin1');
  socket.on('data', (text: string) => {
    received += text;
    try {
      const requests = readRequests(received).filter((each) => each.isComplete);
      for (const request of requests.slice(answered)) answer(socket, request, received.length > 30_000);
      answered = requests.length;
    } catch (error) {
      malformed.push(`${String(error)}: ${received.slice(0, 500)}`);
      socket.destroy();
    }
  });
}

function answer(socket: net.Socket, request: RawMessage, isLast: boolean): void {
  const [, path = ''] = request.startLine.split(' ');
  const attack = answers.get(path);
  if (attack !== undefined) {
    socket.end(attack, 'latin1');
  } else if (valuesOf(request, 'upgrade').includes('websocket')) {
    socket.removeAllListeners('data').resume();
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  } else {
    // All that has come is read again for each request: not for long.
    const close = isLast ? 'Connection: close\r\n' : '';
    socket.write(`HTTP/1.1 200 OK\r\n${close}Content-Length: ${path.length}\r\n\r\n${path}`, 'latin1');
    if (isLast) socket.end();
  }
}

let count = 0;

/** Asks as any client does. Throws unless it gets its own answer. */
async function askOnce(): Promise<void> {
  const path = `/own/${count++}`;
  const received = await exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const [answer] = readAnswers(received);
  if (answer?.body !== path) throw new Error(`${path} gets ${JSON.stringify(received.slice(0, 500))}`);
}

/** Sends a request whose answer ends the connection. Returns what comes. */
async function exchange(request: string): Promise<string> {
  const client = await connectRaw(victim.port);
  client.send(request);
  await settles(client.closed);
  return client.received;
}

/** What is wrong after an attack by a client. */
async function attackedByClient(bytes: string): Promise<string | undefined> {
  const client = await connectRaw(victim.port);
  let isClosed = false;
  void client.closed.then(() => (isClosed = true));
  client.send(bytes);
  // To some there is nothing to say: the proxy waits for more.
  await until(() => isClosed || client.received.includes('\r\n\r\n'), undefined, 50).catch(() => undefined);
  client.socket.end();
  await settles(client.closed);
  await askOnce();
  return wrongAnswer(client.received);
}

/** What is wrong after an attack by an upstream. */
async function attackedByUpstream(bytes: string): Promise<string | undefined> {
  const path = `/attack/${count++}`;
  answers.set(path, bytes);
  const received = await exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n`);
  answers.delete(path);
  await askOnce();
  const wrong = wrongAnswer(received);
  if (wrong !== undefined) return wrong;
  const finals = readAnswers(received).filter((each) => statusOf(each) >= 200);
  return finals.length === 1 ? undefined : `${finals.length} answers`;
}

/** What a strict reader says of what a client got. After a switch of protocols it is no HTTP. */
function wrongAnswer(received: string): string | undefined {
  try {
    if (!received.startsWith('HTTP/1.1 101 '))
      readAnswers(
        received,
        received.split('HTTP/1.1').map(() => 'GET'),
      );
    return undefined;
  } catch (error) {
    if (error instanceof FramingError) return error.message;
    throw error;
  }
}

/** Runs attacks, some at once. Returns what is wrong, with the bytes that have done it. */
async function attack(
  attacks: readonly string[],
  run: (bytes: string) => Promise<string | undefined>,
): Promise<{ readonly bytes: string; readonly wrong: string }[]> {
  const left = attacks.entries();
  const found: { bytes: string; wrong: string }[] = [];
  const worker = async (): Promise<void> => {
    for (const [, bytes] of left) {
      const wrong = await run(bytes).catch((error: unknown) => String(error));
      if (wrong !== undefined) found.push({ bytes: bytes.slice(0, 500), wrong });
      if (victim.child.end !== undefined) return;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return found;
}

describe('stays alive, answers others and prints nothing', () => {
  const attacks: [string, () => Promise<unknown[]>][] = [
    ['what clients send', () => attack(fromClients, attackedByClient)],
    ['what upstreams answer', () => attack(fromUpstreams, attackedByUpstream)],
    ['requests with random changes', () => attack(fc.sample(mutations.ofRequests, cases), attackedByClient)],
    ['answers with random changes', () => attack(fc.sample(mutations.ofAnswers, cases), attackedByUpstream)],
  ];

  it.each(attacks)('whatever it gets: %s', async (_name, run) => {
    const found = await run();
    const { end, stderr } = victim.child;
    expect({ end, stderr, malformed: malformed.splice(0), found }).toEqual({
      end: undefined,
      stderr: '',
      malformed: [],
      found: [],
    });
  });
});
