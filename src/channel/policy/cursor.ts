/** Names of query parameters that carry the id of the last event a client has seen; the first that is there counts. */
const parameters = ['lastEventId', 'starting_after'] as const;

/** The cursor in the query of a request's URL; `undefined` for none. */
export function queryCursor(url: string | undefined): string | undefined {
  const start = url?.indexOf('?') ?? -1;
  if (url === undefined || start < 0) return undefined;
  const query = new URLSearchParams(url.slice(start + 1));
  for (const name of parameters) {
    const value = query.get(name);
    if (value !== null && value !== '') return value;
  }
  return undefined;
}
