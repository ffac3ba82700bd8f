import type { Socket } from 'node:net';
import { keyOfSocket, type Probed, writtenBytes } from './ack-probe.ts';
import type { Evidence } from './policy/liveness.ts';
import type { ConnectionKey } from './policy/address.ts';
import { type AckSample, readAcknowledgement } from './policy/tcp-table.ts';

/** The connection that the evidence is about. */
interface EvidenceTaker {
  readonly id: string;
  note(evidence: Evidence, now: number): void;
}

/** Turns what the kernel tells about one connection into evidence, while something waits for its acknowledgement. */
export class Acknowledgements implements Probed {
  readonly #connection: EvidenceTaker;
  readonly #socket: Socket;
  #key: ConnectionKey | undefined;
  #previous: AckSample | undefined;

  constructor(connection: EvidenceTaker, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
  }

  get connection(): ConnectionKey {
    // A socket that is closed is in no table.
    return (this.#key ??= keyOf(this.#socket) ?? { table: 'tcp', key: `closed ${this.#connection.id}` });
  }

  written(): number {
    return writtenBytes(this.#socket);
  }

  onRow(sample: AckSample, now: number): void {
    const { row, writtenBefore } = sample;
    const answer = readAcknowledgement(this.#previous, sample);
    const isCompared = this.#previous !== undefined;
    this.#previous = sample;
    this.#connection.note({ kind: 'delivered', bytes: writtenBefore - row.unacked, isCompared }, now);
    this.#connection.note({ kind: 'path', rto: row.rto, isLosing: row.retransmits > 0 }, now);
    if (answer === 'window-closed') this.#connection.note({ kind: 'window-closed' }, now);
    else if (answer === 'waiting') this.#connection.note({ kind: 'unacknowledged' }, now);
    else this.#connection.note({ kind: 'acknowledged', isAll: answer === 'acknowledged' }, now);
  }

  onMissing(): void {
    // The kernel has dropped it, which Node reports, or the row slipped through. Neither is an answer.
  }
}

function keyOf(socket: Socket): ConnectionKey | undefined {
  try {
    return keyOfSocket(socket);
  } catch {
    // The socket of a closed HTTP/2 session throws whatever is asked of it.
    return undefined;
  }
}
