// @ts-check
import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';

/**
 * What the streams of one name have cost a page so far.
 *
 * @typedef {object} StreamTraffic
 * @property {string} coding - the content-coding of the newest one; `identity` is none
 * @property {boolean} open
 * @property {number} text - bytes of text that were written into them
 * @property {number} wire - bytes that their connections took for it, with heads and chunk framing
 */

/**
 * @typedef {object} PageTraffic
 * @property {string} account - of another account all counts start at 0 again
 * @property {Record<string, StreamTraffic>} streams - by name
 */

/**
 * Counts what streams cost the pages that they belong to. A page makes up a name, and has it in `?page=…` of its
 * requests.
 */
export class Traffic {
  /** @type {Map<string, Account>} */
  #accounts = new Map();

  /**
   * Counts responses that are written piece by piece. Comes after `compress`: what is written then is text still, and
   * the socket has what became of it.
   *
   * @param {string} name - of the streams that come this way
   * @returns {import('express').RequestHandler}
   */
  meter(name) {
    return (req, res, next) => {
      const page = pageOf(req);
      if (page !== undefined) this.#watch(page, name, req.socket, res);
      next();
    };
  }

  /**
   * `undefined` for a page that has nothing open.
   *
   * @param {string} page
   * @returns {PageTraffic | undefined}
   */
  of(page) {
    return this.#accounts.get(page)?.report();
  }

  /**
   * @param {string} page
   * @param {string} name
   * @param {import('node:net').Socket} socket
   * @param {import('express').Response} res
   */
  #watch(page, name, socket, res) {
    const before = socket.bytesWritten;
    const write = /** @type {(...args: unknown[]) => boolean} */ (res.write);
    /** @type {Row | undefined} */
    let row;
    /** @param {[chunk: string | Uint8Array, ...rest: unknown[]]} args */
    const countAndWrite = (...args) => {
      row ??= this.#accountOf(page).open(name, res, () => socket.bytesWritten - before);
      row.text += Buffer.byteLength(args[0]);
      const ok = write.apply(res, args);
      // Decided within the first write.
      row.coding = String(res.getHeader('content-encoding') ?? 'identity');
      return ok;
    };
    res.write = /** @type {typeof res.write} */ (countAndWrite);
  }

  /** @param {string} page */
  #accountOf(page) {
    let account = this.#accounts.get(page);
    if (!account) {
      account = new Account(() => this.#accounts.delete(page));
      this.#accounts.set(page, account);
    }
    return account;
  }
}

/**
 * The name of the page that asks; `undefined` where none does.
 *
 * @param {import('sluice').RoutedRequest} req
 */
export function pageOf(req) {
  const page = req.query?.['page'];
  return typeof page === 'string' && /^[\w-]{1,64}$/.test(page) ? page : undefined;
}

/** One page's, for as long as a stream of it is open. */
class Account {
  #id = randomUUID();
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #onIdle;

  /** @param {() => void} onIdle */
  constructor(onIdle) {
    this.#onIdle = onIdle;
  }

  /**
   * @param {string} name
   * @param {import('express').Response} res
   * @param {() => number} wireOf - bytes so far
   */
  open(name, res, wireOf) {
    const row = this.#rows.get(name) ?? new Row();
    this.#rows.set(name, row);
    row.open.add(wireOf);
    res.once('close', () => {
      row.open.delete(wireOf);
      row.closedWire += wireOf();
      if (Array.from(this.#rows.values()).every(({ open }) => open.size === 0)) this.#onIdle();
    });
    return row;
  }

  /** @returns {PageTraffic} */
  report() {
    return {
      account: this.#id,
      streams: Object.fromEntries(Array.from(this.#rows, ([name, row]) => [name, row.report()])),
    };
  }
}

/** The streams of one name. */
class Row {
  coding = 'identity';
  text = 0;
  /** Those that are open, each as the bytes it has taken so far. @type {Set<() => number>} */
  open = new Set();
  closedWire = 0;

  /** @returns {StreamTraffic} */
  report() {
    const wire = Array.from(this.open, (wireOf) => wireOf()).reduce((sum, bytes) => sum + bytes, this.closedWire);
    return { coding: this.coding, open: this.open.size > 0, text: this.text, wire };
  }
}
