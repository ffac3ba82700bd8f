import type { Socket } from 'node:net';
import { keyOfSocket, type Probed, writtenBytes } from './ack-probe.ts';
import { type AckSample, type ConnectionKey, readAcknowledgement } from './policy/tcp-table.ts';

/** The connection that the evidence is about. */
export interface AcknowledgedPeer {
  readonly id: string;
  noteDelivered(delivered: number, now: number, isCompared: boolean): void;
  notePath(rto: number | undefined, isLosing: boolean): void;
  noteWindowClosed(now: number): void;
  noteUnacknowledged(now: number): void;
  noteAcknowledged(now: number, isAll: boolean): void;
}

/**
 * What the kernel knows of one connection while something waits to be acknowledged, turned into evidence for its peer.
 */
export class Acknowledgements implements Probed {
  readonly #peer: AcknowledgedPeer;
  readonly #socket: Socket;
  #connection: ConnectionKey | undefined;
  #previous: AckSample | undefined;

  constructor(peer: AcknowledgedPeer, socket: Socket) {
    this.#peer = peer;
    this.#socket = socket;
  }

  get connection(): ConnectionKey {
    // One that is closed is found nowhere.
    return (this.#connection ??= keyOf(this.#socket) ?? { table: 'tcp', key: `closed ${this.#peer.id}` });
  }

  written(): number {
    return writtenBytes(this.#socket);
  }

  onRow(sample: AckSample, now: number): void {
    const acknowledgement = readAcknowledgement(this.#previous, sample);
    this.#peer.noteDelivered(sample.writtenBefore - sample.row.unacked, now, this.#previous !== undefined);
    this.#previous = sample;
    this.#peer.notePath(sample.row.rto, sample.row.retransmits > 0);
    if (acknowledgement === 'window-closed') this.#peer.noteWindowClosed(now);
    else if (acknowledgement === 'waiting') this.#peer.noteUnacknowledged(now);
    else this.#peer.noteAcknowledged(now, acknowledgement === 'acknowledged');
  }

  onMissing(): void {
    // The kernel has dropped it, of which Node tells, or its row slipped through: either way, this is no answer.
  }
}

function keyOf(socket: Socket): ConnectionKey | undefined {
  try {
    return keyOfSocket(socket);
  } catch {
    // Of a session of HTTP/2 that is closed: whatever is asked of its socket throws.
    return undefined;
  }
}
