import { BlockList, isIP } from 'node:net';
import { InvalidOptionError } from '../errors.ts';
import type { Trusts } from './policy/forwarded.ts';

/** Reads whom to trust. Throws `InvalidOptionError`. */
export function readTrust(option: string, trust: unknown): Trusts {
  if (typeof trust === 'boolean') return () => trust;
  if (typeof trust === 'function') return trust as Trusts;
  if (trust instanceof BlockList) return checkOf(trust);
  if (!Array.isArray(trust)) {
    throw new InvalidOptionError(option, 'a boolean, a list of ranges, a BlockList or a function', trust);
  }
  const list = new BlockList();
  for (const range of trust as unknown[]) addRange(list, option, range);
  return checkOf(list);
}

/** Reads an address or a range. Returns whether an address is in it. Throws `InvalidOptionError`. */
export function readRange(option: string, range: unknown): (address: string) => boolean {
  const list = new BlockList();
  addRange(list, option, range);
  return checkOf(list);
}

function checkOf(list: BlockList): (address: string) => boolean {
  return (address) => {
    const family = isIP(address);
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
}

function addRange(list: BlockList, option: string, range: unknown): void {
  const [address = '', bits] = String(range).split('/');
  const family = isIP(address);
  const longest = family === 6 ? 128 : 32;
  const prefix = bits === undefined ? longest : Number(bits);
  if (family === 0 || !/^\d{1,3}$/.test(bits ?? '0') || prefix > longest) {
    throw new InvalidOptionError(option, 'addresses and ranges such as "10.0.0.0/8"', range);
  }
  list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
}
