/** What a path of the dashboard is. */
export type RouteKind = 'file' | 'data' | 'action';

/** What is known of a request, beside who sent it. */
export interface RequestFacts {
  readonly method: string;
  /** Of its path; `undefined`: there is nothing. */
  readonly route: RouteKind | undefined;
  /** `Sec-Fetch-Site`. */
  readonly site: string | undefined;
  readonly origin: string | undefined;
  /** `Host`, or `:authority`. */
  readonly host: string | undefined;
  /** Whether it has the header `X-Sluice`, which no form of another site can send. */
  readonly hasMark: boolean;
  /** The media type of its body, in lower case. */
  readonly mediaType: string;
}

/** A request that is not answered as it wishes. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Of a 405. */
  readonly allow?: string;
}

/**
 * Whether an authorized request may pass. `undefined`: yes. The first row that applies decides:
 *
 * | request | answer |
 * |---|---|
 * | for nothing that is here | 404 |
 * | with another method than GET and HEAD; for an action: than POST | 405 |
 * | for data or an action, made by another site | 403 |
 * | for an action, by a client that names no site and has no `X-Sluice` | 403 |
 * | for an action, with a body that is not JSON | 415 |
 */
export function refusalOf(facts: RequestFacts): Refusal | undefined {
  const { route, method } = facts;
  if (route === undefined) {
    const message = 'There is nothing at this path. Mount the dashboard with `app.use`, which takes its own path off.';
    return { status: 404, code: 'not-found', message };
  }
  const allow = route === 'action' ? ['POST'] : ['GET', 'HEAD'];
  if (!allow.includes(method)) {
    const message = `This path takes ${allow.join(' and ')}.`;
    return { status: 405, code: 'method-not-allowed', message, allow: allow.join(', ') };
  }
  // A link from another site may lead to the page. What it loads is asked for by the page itself.
  if (route === 'file') return undefined;
  const sender = senderOf(facts);
  if (sender === 'other-site')
    return { status: 403, code: 'other-origin', message: 'The request comes from a page of another origin.' };
  if (route === 'data') return undefined;
  if (sender === 'unknown' && !facts.hasMark) {
    const message = 'A request that is not made by a browser needs the header `X-Sluice: 1`.';
    return { status: 403, code: 'unknown-origin', message };
  }
  if (facts.mediaType !== 'application/json')
    return { status: 415, code: 'unsupported-media-type', message: 'The body must be application/json.' };
  return undefined;
}

/** Who made a browser send a request. `unknown`: it is no browser, or one that says nothing. */
function senderOf({ site, origin, host }: RequestFacts): 'own-page' | 'other-site' | 'unknown' {
  // Fetch Metadata 2: browsers send it to HTTPS and to the own machine. `none`: the user did it, not a page.
  if (site !== undefined) return site === 'same-origin' || site === 'none' ? 'own-page' : 'other-site';
  // Fetch 3.2: comes with each POST. `null` is an origin that the browser keeps to itself.
  if (origin !== undefined) return hostOf(origin) === host?.toLowerCase() ? 'own-page' : 'other-site';
  return 'unknown';
}

// No `undefined`: it must not equal a missing `Host`.
function hostOf(origin: string): string {
  return URL.canParse(origin) ? new URL(origin).host : '';
}
