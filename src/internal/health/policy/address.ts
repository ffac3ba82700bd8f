/** The bytes of an IP address in network order, 4 or 16; `undefined` for any other text. */
export function addressBytes(address: string): number[] | undefined {
  // RFC 4007 11: what comes after the percent sign is the zone, which is not part of the address.
  const text = address.includes('%') ? address.slice(0, address.indexOf('%')) : address;
  const bytes = mappedBytes(text) ?? (text.includes(':') ? ipv6Bytes(text) : ipv4Bytes(text));
  const length = text.includes(':') ? 16 : 4;
  return bytes.length === length && bytes.every((byte) => byte <= 0xff) ? bytes : undefined;
}

// Text that is no number becomes NaN, which fails the comparison above.
function ipv4Bytes(text: string): number[] {
  return text.split('.').map((octet) => (octet === '' ? NaN : Number(octet)));
}

const mappedPrefix = '::ffff:';
const mappedStart = [...new Array<number>(10).fill(0), 0xff, 0xff];

// The address of an IPv4 client of a server that listens on both, as most do. It is looked up with each heartbeat, and
// four times as fast here.
function mappedBytes(text: string): number[] | undefined {
  const hasPrefix = text.startsWith(mappedPrefix) && text.lastIndexOf(':') === mappedPrefix.length - 1;
  const isMapped = hasPrefix && text.includes('.');
  return isMapped ? [...mappedStart, ...ipv4Bytes(text.slice(mappedPrefix.length))] : undefined;
}

// RFC 4291 2.2: `::` stands once for the groups of zeros that are missing. The last two groups may be an IPv4 address.
function ipv6Bytes(text: string): number[] {
  const [head = '', tail, ...more] = text.split('::');
  const first = groupBytes(head);
  if (tail === undefined || more.length > 0) return more.length > 0 ? [] : first;
  const last = groupBytes(tail);
  return [...first, ...new Array<number>(Math.max(16 - first.length - last.length, 0)).fill(0), ...last];
}

function groupBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    const octets = group.includes('.') ? ipv4Bytes(group) : undefined;
    if (octets) return octets.length === 4 ? octets : [NaN];
    const value = Number(`0x${group}`);
    return [Math.floor(value / 0x100), value % 0x100];
  });
}

// RFC 4291 2.5.5.2: ::ffff:0:0/96, an IPv4 address as a socket of both families names it.
// RFC 6052 2.1: 64:ff9b::/96, the same behind a translator.
const embeddings: readonly (readonly number[])[] = [mappedStart, [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]];

/**
 * The client that an address belongs to. An IPv4 address stands for itself, also where IPv6 embeds it. An IPv6 address
 * stands for its /64, as `2001:db8:0:1::/64`. That is the least that a site gets (RFC 6177), and one host in it may use
 * any of its addresses. A zone (`%eth0`) stays. Other text is returned unchanged, and `''` for `undefined`.
 */
export function clientOfAddress(address: string | undefined): string {
  if (address === undefined) return '';
  const bytes = addressBytes(address);
  if (bytes?.length !== 16) return address;
  if (embeddings.some((prefix) => prefix.every((byte, at) => byte === bytes[at]))) return bytes.slice(12).join('.');
  const groups = [0, 2, 4, 6].map((at) => ((bytes[at] ?? 0) * 0x100 + (bytes[at + 1] ?? 0)).toString(16));
  const zone = address.includes('%') ? address.slice(address.indexOf('%')) : '';
  return `${groups.join(':')}::/64${zone}`;
}

/** Where the kernel lists a connection, and by what text. */
export interface ConnectionKey {
  /** IPv4 connections are in `tcp`; those of IPv6 sockets in `tcp6`, also to an IPv4-mapped address. */
  readonly table: 'tcp' | 'tcp6';
  /** `LOCAL:PORT REMOTE:PORT` as the table has it. */
  readonly key: string;
}

/**
 * The text by which the kernel lists a connection, from the names of its socket; `undefined`: it is no TCP connection.
 * @param littleEndian - the byte order of this machine, in which the kernel prints an address as words
 */
export function connectionKey(
  localAddress: string | undefined,
  localPort: number | undefined,
  remoteAddress: string | undefined,
  remotePort: number | undefined,
  littleEndian: boolean,
): ConnectionKey | undefined {
  if (localAddress === undefined || localPort === undefined || remoteAddress === undefined || remotePort === undefined)
    return undefined;
  const local = addressBytes(localAddress);
  const remote = addressBytes(remoteAddress);
  if (!local || local.length !== remote?.length) return undefined;
  const here = `${formatAddress(local, littleEndian)}:${formatPort(localPort)}`;
  const there = `${formatAddress(remote, littleEndian)}:${formatPort(remotePort)}`;
  return { table: local.length === 4 ? 'tcp' : 'tcp6', key: `${here} ${there}` };
}

function formatAddress(bytes: readonly number[], littleEndian: boolean): string {
  let text = '';
  // Words of four bytes.
  for (let at = 0; at < bytes.length; at++) text += formatByte(bytes[littleEndian ? at ^ 3 : at]);
  return text;
}

function formatPort(port: number): string {
  return formatByte(port >> 8) + formatByte(port & 0xff);
}

function formatByte(byte = 0): string {
  return hexBytes[byte] ?? '';
}

const hexBytes: readonly string[] = Array.from({ length: 0x100 }, (_, byte) =>
  byte.toString(16).toUpperCase().padStart(2, '0'),
);
