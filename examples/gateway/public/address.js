/**
 * The address with more parameters.
 *
 * @param {string} url - of this server
 * @param {Iterable<[string, string]>} params
 */
export function withParams(url, params) {
  const address = new URL(url, location.href);
  for (const [name, value] of params) address.searchParams.append(name, value);
  return address.href;
}
