/** Where the upstream is reached: an origin, and a path that stands before each request's. */
export interface Target {
  /** `http://host:port` or `https://host:port`. */
  readonly origin: string;
  /** Without a slash at the end; `''` for none. */
  readonly path: string;
  /** `?` and what follows, without the `?`; `''` for none. */
  readonly query: string;
  /** What `Host` says of the target: the port only where it is not the scheme's. */
  readonly host: string;
  readonly isEncrypted: boolean;
}

/** Reads a target. `undefined`: not an absolute `http:` or `https:` URL, or one with credentials or a fragment. */
export function parseTarget(given: string | URL): Target | undefined {
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    return undefined;
  }
  const isEncrypted = url.protocol === 'https:';
  if (!isEncrypted && url.protocol !== 'http:') return undefined;
  if (url.username !== '' || url.password !== '' || url.hash !== '') return undefined;
  const path = url.pathname.replace(/\/+$/, '');
  return { origin: url.origin, path, query: url.search.slice(1), host: url.host, isEncrypted };
}

/**
 * The path and query of a request target, always with a slash at the start. Of a target in absolute form (RFC 9112
 * 3.2.2) the authority is dropped: a client does not choose the upstream. `undefined`: a target that no upstream can
 * be asked for, such as `*`.
 */
export function pathOf(requestTarget: string | undefined): string | undefined {
  if (requestTarget === undefined) return undefined;
  if (requestTarget.startsWith('/')) return requestTarget;
  const absolute = /^https?:\/\/[^/?#]*([^#]*)/i.exec(requestTarget);
  if (absolute) return withSlash(absolute[1] ?? '');
  // Express leaves `?a=1` of a mount path without a slash behind it.
  return requestTarget === '' || requestTarget.startsWith('?') ? withSlash(requestTarget) : undefined;
}

/**
 * Joins the target's path and a request's by one slash. By text, never by resolving URLs: `//evil.example` is a path,
 * and `..` is the upstream's to read.
 */
export function joinTarget(target: Target, path: string): string {
  const at = path.indexOf('?');
  const [pathname, query] = at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)];
  const joined = target.path === '' ? pathname : target.path + (pathname === '/' ? '' : pathname);
  const queries = [target.query, query].filter((each) => each !== '').join('&');
  return withSlash(joined) + (queries === '' ? '' : `?${queries}`);
}

/**
 * Whether HTTP allows the text in a request line. Node's parser lets more through where it is told to be lenient.
 */
export function isCleanPath(path: string): boolean {
  return /^\/[\u0021-\u00ff]*$/.test(path);
}

function withSlash(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
