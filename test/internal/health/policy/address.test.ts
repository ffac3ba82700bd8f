import { describe, expect, it } from 'vitest';
import { clientOfAddress } from '../../../../src/internal/health/policy/address.ts';

describe('the client of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
    ['64:ff9b::192.0.2.1', '192.0.2.1'],
    ['64:ff9b::c000:201', '192.0.2.1'],
  ])('that is one of IPv4 is that address: %s', (address, client) => {
    expect(clientOfAddress(address)).toBe(client);
  });

  it.each([
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
    ['2001:0DB8:0000:0001:0:0:0:7', '2001:db8:0:1::/64'],
    ['2001:db8:0:2::1', '2001:db8:0:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:192.0.2.1', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::fffe:192.0.2.1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64%eth0'],
    ['fe80::2%eth0', 'fe80:0:0:0::/64%eth0'],
    ['fe80::1%eth1', 'fe80:0:0:0::/64%eth1'],
  ])('of IPv6 is its /64: %s', (address, client) => {
    expect(clientOfAddress(address)).toBe(client);
  });

  it('is any other text as it is', () => {
    const addresses = [
      '1.2.3',
      '1.2.3.4.5',
      '256.1.1.1',
      '2001:db8',
      '1::2::3',
      '1:2:3:4:5:6:7:8:9',
      'g::1',
      '::1.2.3',
    ];
    const texts = ['', 'ann', ...addresses, ':'.repeat(100_000)];
    expect(texts.map(clientOfAddress)).toEqual(texts);
  });

  it('is no text without an address, as of a socket of a file', () => {
    expect(clientOfAddress(undefined)).toBe('');
  });
});
