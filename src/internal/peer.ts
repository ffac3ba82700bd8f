import { MissingPeerError } from '../errors.ts';

/**
 * Loads an optional peer. Rejects with `MissingPeerError`.
 * @param name - not a literal at the call, so that bundlers leave the package out
 * @param usedFor - what needs it, for the message
 * @param version - to install, where the newest may not do
 */
export async function loadPeer<T>(name: string, usedFor: string, version?: string): Promise<T> {
  try {
    return (await importPeer(name)) as T;
  } catch (cause) {
    throw new MissingPeerError(name, usedFor, version === undefined ? { cause } : { cause, version });
  }
}

async function importPeer(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    // In Jest without `--experimental-vm-modules` no `import()` works, and its `require` does.
    const { code } = error as { code?: unknown };
    if (!String(code).startsWith('ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING')) throw error;
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- the only way in there
    return require(name);
  }
}
