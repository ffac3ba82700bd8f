import { SluiceError } from './sluice-error.ts';

/** An optional package that a part stands on is not installed, or cannot be loaded. `cause` says why. */
export class MissingPeerError extends SluiceError {
  override readonly code = 'ERR_SLUICE_PEER_MISSING';
  /** The package to install. */
  readonly peer: string;

  /** @param version - to install, where the newest may not do */
  constructor(peer: string, usedFor: string, options?: { cause?: unknown; version?: string }) {
    const { cause, version } = options ?? {};
    const why = isNotFound(cause) ? '' : `, which cannot be loaded (${String(cause)})`;
    super(
      `${usedFor} needs the package \`${peer}\`${why}: npm install ${peer}${version ? `@${version}` : ''}`,
      options,
    );
    this.peer = peer;
  }
}

function isNotFound(cause: unknown): boolean {
  return /^(?:ERR_)?MODULE_NOT_FOUND$/.test(String((cause as { code?: unknown } | undefined)?.code));
}
