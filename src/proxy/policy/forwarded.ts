import type { HeaderList } from '../../internal/http/header-list.ts';

/** Which headers tell the upstream who the client is. */
export type ForwardedStyle = 'x-forwarded' | 'forwarded' | 'both' | 'none';

/** What is known of the client of a request, without its headers. */
export interface ClientFacts {
  /** The address of the connection's other end. */
  readonly peer: string | undefined;
  /** What the client sent as `Host` or `:authority`. */
  readonly host: string | undefined;
  readonly protocol: 'http' | 'https';
  /** `1.1`, `2.0` … */
  readonly httpVersion: string;
}

/** Whether an address is one of our proxies. @param hop - 0 for the connection's other end, 1 for the next … */
export type Trusts = (address: string, hop: number) => boolean;

const claims: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
]);

/**
 * Replaces what the request claims about its client by what is known. Only a peer that is trusted may claim anything:
 * then its `X-Forwarded-For` is continued and its host and protocol stay.
 */
export function setForwarded(headers: HeaderList, facts: ClientFacts, style: ForwardedStyle, trusts: Trusts): void {
  const { peer, host, protocol } = facts;
  const isTrusted = peer !== undefined && trusts(peer, 0);
  const [before, claimedHost, claimedProtocol, chain] = isTrusted
    ? [
        headers.get('x-forwarded-for'),
        ...['x-forwarded-host', 'x-forwarded-proto', 'forwarded'].map((name) => headers.get(name)),
      ]
    : [];
  if (style === 'none') {
    if (!isTrusted) drop(headers);
    return;
  }
  drop(headers);
  if (style !== 'forwarded') {
    set(headers, 'X-Forwarded-For', [before, peer && plainAddress(peer)].filter((each) => Boolean(each)).join(', '));
    set(headers, 'X-Forwarded-Host', claimedHost ?? host);
    set(headers, 'X-Forwarded-Proto', claimedProtocol ?? protocol);
  }
  if (style !== 'x-forwarded') {
    const element = [
      `for=${quoted(nodeName(peer))}`,
      ...(host === undefined ? [] : [`host=${quoted(host)}`]),
      `proto=${protocol}`,
    ].join(';');
    set(headers, 'Forwarded', [chain, element].filter((each) => Boolean(each)).join(', '));
  }
}

/**
 * The address of the client: that of the connection, or, behind trusted proxies, the last one in `X-Forwarded-For`
 * that is not one of them.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | null,
  trusts: Trusts,
): string | undefined {
  if (peer === undefined) return undefined;
  const hops = [
    peer,
    ...(forwardedFor ?? '')
      .split(',')
      .map((each) => each.trim())
      .reverse(),
  ].filter((each) => each !== '');
  const at = hops.findIndex((address, hop) => !trusts(address, hop));
  return plainAddress(hops[at < 0 ? hops.length - 1 : at] ?? peer);
}

/** An IPv4 address as such, where a socket for both families writes `::ffff:192.0.2.1`. */
function plainAddress(address: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address;
}

// RFC 7239 6: an IPv6 address stands in brackets, an address that is not known is `unknown`.
function nodeName(peer: string | undefined): string {
  if (peer === undefined) return 'unknown';
  const address = plainAddress(peer);
  return address.includes(':') ? `[${address}]` : address;
}

function quoted(value: string): string {
  return /^[!#$%&'*+.^_`|~\w-]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

function drop(headers: HeaderList): void {
  headers.keep((name) => !claims.has(name));
}

function set(headers: HeaderList, name: string, value: string | undefined): void {
  if (value) headers.append(name, value);
}
