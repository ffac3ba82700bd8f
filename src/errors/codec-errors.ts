import { SluiceError } from './sluice-error.ts';

/** A content-coding cannot be offered: what encodes it is not installed, and this Node has nothing built in. */
export class CodecUnavailableError extends SluiceError {
  override readonly code = 'ERR_SLUICE_CODEC_UNAVAILABLE';
  /** The coding's token; several, separated by commas, when none of a profile's is available. */
  readonly coding: string;

  /** @param cure - what to install, for the message */
  constructor(coding: string, cure: string, options?: { cause?: unknown }) {
    super(`The content-coding \`${coding}\` is not available: ${cure}`, options);
    this.coding = coding;
  }
}

/** A codec did not do what its interface promises: it gave no bytes, ended too early, or did not settle in time. */
export class CodecFailedError extends SluiceError {
  override readonly code = 'ERR_SLUICE_CODEC_FAILED';
  /** The coding's token. */
  readonly coding: string;
  /** What of the codec is at fault: `encode`, `createStream` … */
  readonly member: string;

  /** @param fault - what it did, for the message */
  constructor(coding: string, member: string, fault: string) {
    super(`\`${member}\` of the codec of \`${coding}\` ${fault}`);
    this.coding = coding;
    this.member = member;
  }
}
