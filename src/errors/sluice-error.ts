/** Base of every error that the library makes. Match on `code`: it is stable, the message is not. */
export abstract class SluiceError extends Error {
  /** One of the codes in `docs/errors.md`. */
  abstract readonly code: string;

  /** The name of the class. */
  override get name(): string {
    return this.constructor.name;
  }
}
