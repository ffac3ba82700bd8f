import type { CloseReason } from '../../../errors.ts';
import { startTimer } from '../../../internal/time/clock.ts';
import type { ChannelStream } from '../../subscriber.ts';
import { reportChannelError } from '../../events.ts';
import { sendControl } from './control.ts';
import type { Directory } from './directory.ts';
import type { Run } from './run.ts';
import type { RunRef } from './run-ref.ts';

// So often in a row the log may not answer before the clients of a run are told.
const mostFailures = 3;

/** What a watch needs of its process. */
export interface RunWatchHost {
  readonly directory: Directory;
  /** The id of the process. */
  readonly process: string;
  /** The run, if this process produces it. */
  runOf(ref: RunRef): Run | undefined;
  /** It has no clients any more. */
  onOver(): void;
}

/**
 * The clients of one run in this process. Looks after its producer: when that is dead, they are told, and do not hang.
 */
export class RunWatch {
  readonly #host: RunWatchHost;
  readonly #ref: RunRef;
  readonly #streams = new Set<ChannelStream>();
  #stopTimer: (() => void) | undefined;
  /** The last entry when it was looked at. */
  #given: string | undefined;
  #failures = 0;

  constructor(host: RunWatchHost, ref: RunRef) {
    this.#host = host;
    this.#ref = ref;
    this.#arm();
  }

  /** The number of clients. */
  get size(): number {
    return this.#streams.size;
  }

  enter(stream: ChannelStream): void {
    this.#streams.add(stream);
    stream.out.onClosed((reason) => this.#leave(stream, reason));
    this.#tell(false);
  }

  #leave(stream: ChannelStream, reason: CloseReason): void {
    this.#streams.delete(stream);
    this.#tell(reason === 'draining');
    if (this.#streams.size > 0) return;
    this.#stopTimer?.();
    this.#host.onOver();
  }

  /** Tells the producer how many clients there are. @param isMoving - one left to come back */
  #tell(isMoving: boolean): void {
    const run = this.#host.runOf(this.#ref);
    if (run) {
      run.presence.setLocal(this.#streams.size, isMoving);
      return;
    }
    const { directory, process } = this.#host;
    // A process that is moving its clients is heard for a while.
    if (directory.options.cancelAfter === Infinity || (this.#streams.size === 0 && isMoving)) return;
    sendControl(directory, this.#ref, this.#streams.size > 0 ? 'reader' : 'left', process).catch(reportChannelError);
  }

  #arm(): void {
    const { lease } = this.#host.directory.options;
    this.#stopTimer = startTimer(lease / 2, () => void this.#look());
  }

  async #look(): Promise<void> {
    if (!this.#host.runOf(this.#ref)) {
      try {
        this.#tell(false);
        await this.#check();
        this.#failures = 0;
      } catch (error) {
        this.#failures += 1;
        if (this.#failures >= mostFailures) this.#sendAway(error);
      }
    }
    if (this.#streams.size > 0) this.#arm();
  }

  /** Ends the run if its producer is dead: its end comes to all clients by the log. */
  async #check(): Promise<void> {
    const { directory } = this.#host;
    const channel = directory.channelOf(this.#ref);
    const { given } = channel.delivery;
    const isSilent = given === this.#given;
    this.#given = given;
    if (!isSilent || (await channel.log.isClaimed())) return;
    if ((await directory.inspect(this.#ref)) === 'gone') this.#sendAway(undefined);
  }

  /** The clients see a connection that breaks, and may come back. */
  #sendAway(error: unknown): void {
    this.#failures = 0;
    if (error !== undefined) reportChannelError(error);
    for (const stream of [...this.#streams]) stream.leave();
  }
}
