// @ts-check

/** The streams that are open, each with its way to say that this process goes away. */
export class OpenStreams {
  /** @type {Set<() => Promise<void>>} */
  #leave = new Set();

  /**
   * @param {{ onClose(listener: () => void): unknown }} stream
   * @param {() => Promise<void>} leave
   */
  add(stream, leave) {
    this.#leave.add(leave);
    stream.onClose(() => this.#leave.delete(leave));
  }

  /** Tells every client to come back, to the next process. Resolves when all streams are closed. */
  async close() {
    await Promise.all(Array.from(this.#leave, (leave) => leave()));
  }
}
