// The clients of the audience: raw sockets, so that they cost little.
import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { answerCalls } from '../../../bench/support/answer.js';
import { decodeBody } from '../../../bench/support/decode.js';
import { ResponseParser } from '../../../bench/support/response-parser.js';

// Connections asked for at once: below any backlog.
const batch = 200;
// What a slow reader takes at a time.
const sip = 32_768;
const sipEvery = 500;

/** @typedef {{ parser: ResponseParser, parts: Buffer[], fault: string }} Reader */

/** @type {Reader[]} */
const readers = [];
/** @type {Set<import('node:net').Socket>} */
const sockets = new Set();

/** @param {number} port @param {string} path */
function request(port, path) {
  const socket = connect({ port, host: '127.0.0.1' });
  sockets.add(socket);
  const coding = path === '/events' ? 'gzip' : 'identity';
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: ${coding}\r\n\r\n`);
  return socket;
}

/** @param {number} port */
function openReader(port) {
  const socket = request(port, '/events');
  const parser = new ResponseParser((bytes) => void reader.parts.push(Buffer.from(bytes)));
  /** @type {Reader} */
  const reader = { parser, parts: [], fault: '' };
  readers.push(reader);
  socket.on('data', (bytes) => {
    try {
      reader.parser.push(bytes);
    } catch (error) {
      reader.fault ||= String(error);
    }
  });
  socket.on('error', (error) => (reader.fault ||= String(error)));
}

/** @param {number} port */
function openSlow(port) {
  const socket = request(port, '/slow');
  socket.on('error', () => undefined);
  socket.pause();
  const timer = setInterval(() => socket.read(Math.min(sip, socket.readableLength)), sipEvery);
  socket.on('close', () => clearInterval(timer));
  socket.on('readable', () => undefined);
}

/** @param {number} port */
function openStopped(port) {
  request(port, '/stopped')
    .on('error', () => undefined)
    .pause();
}

/** What is wrong with what a reader got. @param {Reader} reader @param {number} events */
function faultOf({ parser, parts, fault }, events) {
  if (fault !== '') return fault;
  const text = decodeBody(parts, parser.coding).toString();
  const numbers = Array.from(text.matchAll(/^data: (\d+) /gm), ([, number]) => Number(number));
  if (numbers.length !== events) return `${numbers.length} events of ${events}`;
  return numbers.every((number, index) => number === index + 1) ? '' : 'not in order';
}

answerCalls({
  /** @param {number} port @param {{ clients: number, slow: number, stopped: number }} counts */
  async open(port, { clients, slow, stopped }) {
    for (let at = 0; at < slow; at++) openSlow(port);
    for (let at = 0; at < stopped; at++) openStopped(port);
    while (readers.length < clients) {
      const until = Math.min(clients, readers.length + batch);
      while (readers.length < until) openReader(port);
      while (readers.some(({ parser, fault }) => fault === '' && parser.bodyBytes === 0)) await delay(2);
    }
  },
  /** Waits until the streams of all readers are complete. @param {number} events */
  async check(events) {
    for (const { parser, fault } of readers) while (!parser.isOver && fault === '') await delay(5);
    /** @type {Map<string, number>} */
    const faults = new Map();
    for (const reader of readers) {
      const fault = faultOf(reader, events);
      if (fault !== '') faults.set(fault, (faults.get(fault) ?? 0) + 1);
    }
    for (const socket of sockets) socket.destroy();
    return Array.from(faults, ([fault, count]) => `${count} clients: ${fault}`);
  },
});
