import { describe, expect, it } from 'vitest';
import { type ConnectionKey, connectionKey } from '../../../../src/internal/health/policy/address.ts';
import {
  type AckSample,
  readAcknowledgement,
  scanTcpTable,
  type TcpRow,
} from '../../../../src/internal/health/policy/tcp-table.ts';

describe('the key of a connection', () => {
  const zeros = (count: number): string => '0'.repeat(count);
  const rows: [what: string, local: string, remote: string, littleEndian: boolean, expected: ConnectionKey][] = [
    ['IPv4', '127.0.0.1', '10.77.0.2', true, { table: 'tcp', key: '0100007F:1F90 02004D0A:C44E' }],
    ['IPv4, big-endian', '127.0.0.1', '10.77.0.2', false, { table: 'tcp', key: '7F000001:1F90 0A4D0002:C44E' }],
    [
      'IPv6 loopback',
      '::1',
      '::1',
      true,
      { table: 'tcp6', key: `${zeros(24)}01000000:1F90 ${zeros(24)}01000000:C44E` },
    ],
    ['IPv6, big-endian', '::1', '::1', false, { table: 'tcp6', key: `${zeros(31)}1:1F90 ${zeros(31)}1:C44E` }],
    [
      'an IPv4-mapped address',
      '::ffff:127.0.0.1',
      '::ffff:192.168.3.4',
      true,
      { table: 'tcp6', key: `${zeros(16)}FFFF00000100007F:1F90 ${zeros(16)}FFFF00000403A8C0:C44E` },
    ],
    [
      'a mapped address without dots',
      '::ffff:7f00:1',
      '::FFFF:c0a8:304',
      true,
      { table: 'tcp6', key: `${zeros(16)}FFFF00000100007F:1F90 ${zeros(16)}FFFF00000403A8C0:C44E` },
    ],
    [
      'a mapped address, big-endian',
      '::ffff:127.0.0.1',
      '::ffff:192.168.3.4',
      false,
      { table: 'tcp6', key: `${zeros(20)}FFFF7F000001:1F90 ${zeros(20)}FFFFC0A80304:C44E` },
    ],
    [
      'a zone',
      'fe80::1%eth0',
      'fe80::abcd:ef01%2',
      true,
      { table: 'tcp6', key: `000080FE${zeros(16)}01000000:1F90 000080FE${zeros(16)}01EFCDAB:C44E` },
    ],
    [
      'all groups',
      '2001:db8:1:2:3:4:5:6',
      '2001:db8:1:2:3:4:5:6',
      false,
      { table: 'tcp6', key: '20010DB8000100020003000400050006:1F90 20010DB8000100020003000400050006:C44E' },
    ],
    [
      'zeros at the end',
      '2001:db8::',
      '2001:db8:1::',
      false,
      { table: 'tcp6', key: `20010DB8${zeros(24)}:1F90 20010DB80001${zeros(20)}:C44E` },
    ],
    [
      'one group of zeros',
      '1:2:3:4::6:7:8',
      '::',
      false,
      { table: 'tcp6', key: `00010002000300040000000600070008:1F90 ${zeros(32)}:C44E` },
    ],
  ];

  it.each(rows)('%s', (_what, local, remote, littleEndian, expected) => {
    expect(connectionKey(local, 8080, remote, 50254, littleEndian)).toEqual(expected);
  });

  it('has four digits for a port', () => {
    expect(connectionKey('0.0.0.0', 1, '255.255.255.255', 65535, true)?.key).toBe('00000000:0001 FFFFFFFF:FFFF');
  });

  const valid = '127.0.0.1';
  it.each([
    ['what a closed socket says', undefined, undefined, undefined, undefined],
    ['no remote port', valid, 1, valid, undefined],
    ['no local address', undefined, 1, valid, 2],
    ['one address of each family', valid, 1, '::1', 2],
    ['a path', '/run/app.sock', 1, '/run/app.sock', 2],
    ['an empty text', '', 1, '', 2],
    ['three octets', '127.0.1', 1, valid, 2],
    ['a large octet', '127.0.0.256', 1, valid, 2],
    ['an empty octet', '127..0.1', 1, valid, 2],
    ['a name', 'localhost', 1, valid, 2],
    ['seven groups', '1:2:3:4:5:6:7', 1, '::1', 2],
    ['nine groups', '1:2:3:4:5:6:7:8:9', 1, '::1', 2],
    ['nine groups and an omission', '1:2:3:4::5:6:7:8:9', 1, '::1', 2],
    ['two omissions', '1::2::3', 1, '::1', 2],
    ['a large group', '12345::', 1, '::1', 2],
    ['no hexadecimal', 'g::', 1, '::1', 2],
    ['bad dots in a group', '::ffff:1.2.3', 1, '::1', 2],
  ] as const)('%s: none', (_what, local, localPort, remote, remotePort) => {
    expect(connectionKey(local, localPort, remote, remotePort, true)).toBeUndefined();
  });
});

const header = `${'  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'.padEnd(149)}\n`;
const header6 =
  '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

function scan(text: string, ...keys: string[]): [key: string, row: TcpRow][] {
  const found: [string, TcpRow][] = [];
  scanTcpTable(text, new Map(keys.map((key) => [key, key])), (key, row) => found.push([key, row]));
  return found;
}

function pad(line: string): string {
  return `${line.padEnd(149)}\n`;
}

// Lines of a real kernel (6.18, x86-64).
const listening = pad(
  '   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1457 1 000000009a06928d 100 0 0 10 0',
);
const timeWait = pad(
  '   1: 0100007F:974B 0100007F:C44E 06 00000000:00000000 03:00000553 00000000     0        0 0 3 0000000078b91e06',
);
const quiet = pad(
  '   2: 0100007F:AF17 0100007F:A938 01 00000000:00000000 00:00000000 00000000  1000        0 4167217 1 00000000e1baf3ba 20 0 0 10 -1',
);
const closedWindow = pad(
  '   3: 0100007F:9AF7 0100007F:9124 01 003E1400:0000000B 04:00000015 00000000     0        1 4167551 2 0000000037a3e08c 20 4 29 18 -1',
);
const cut = pad(
  '   4: 01004D0A:BEEF 02004D0A:CAFE 01 00000018:00000000 01:000004CF 00000006     0        0 4167651 2 0000000037a3e09c 1305 0 0 1 7',
);
const kept = pad(
  '   5: 01004D0A:BEEF 02004D0A:CAFF 01 00000000:00000000 02:000004CF 00000000     0        3 4167652 2 0000000037a3e09d 21 0 0 10 -1',
);
const lines = [listening, timeWait, quiet, closedWindow, cut, kept].join('');

describe('a table of IPv4', () => {
  it('gives the rows that are wanted, in its order', () => {
    expect(
      scan(header + lines, '01004D0A:BEEF 02004D0A:CAFE', '0100007F:AF17 0100007F:A938', '0100007F:FFFF 0100007F:FFFF'),
    ).toEqual([
      [
        '0100007F:AF17 0100007F:A938',
        { unacked: 0, unread: 0, timer: 'none', retransmits: 0, unansweredProbes: 0, rto: 200, state: 1 },
      ],
      // 13.05 s after six that were doubled.
      [
        '01004D0A:BEEF 02004D0A:CAFE',
        {
          unacked: 24,
          unread: 0,
          timer: 'retransmit',
          retransmits: 6,
          unansweredProbes: 0,
          rto: 13_050 / 64,
          state: 1,
        },
      ],
    ]);
  });

  it('tells a closed window', () => {
    expect(scan(header + lines, '0100007F:9AF7 0100007F:9124')).toEqual([
      [
        '0100007F:9AF7 0100007F:9124',
        {
          unacked: 0x3e1400,
          unread: 11,
          timer: 'window-probe',
          retransmits: 0,
          unansweredProbes: 1,
          rto: 200,
          state: 1,
        },
      ],
    ]);
  });

  it('tells keep-alive', () => {
    expect(scan(header + lines, '01004D0A:BEEF 02004D0A:CAFF')[0]?.[1]).toMatchObject({
      timer: 'keepalive',
      unansweredProbes: 3,
      rto: 210,
    });
  });

  it('reads a row of TIME_WAIT, which is shorter', () => {
    expect(scan(header + lines, '0100007F:974B 0100007F:C44E')).toEqual([
      [
        '0100007F:974B 0100007F:C44E',
        { unacked: 0, unread: 0, timer: 'time-wait', retransmits: 0, unansweredProbes: 0, rto: undefined, state: 6 },
      ],
    ]);
  });

  it('reads rows whose numbers have outgrown their columns', () => {
    const large = pad(
      '123456: 0100007F:AF17 0100007F:A938 08 FFFFFFFF:00000000 01:100000000 000000FF 4294967294       16 18446744073709551615 1 00000000e1baf3ba 12000 0 0 10 -1',
    );
    expect(scan(header + large, '0100007F:AF17 0100007F:A938')).toEqual([
      [
        '0100007F:AF17 0100007F:A938',
        {
          unacked: 0xffffffff,
          unread: 0,
          timer: 'retransmit',
          retransmits: 255,
          unansweredProbes: 16,
          rto: 200,
          state: 8,
        },
      ],
    ]);
  });

  it('needs no line feed at its end, and no header', () => {
    expect(scan(quiet.trimEnd(), '0100007F:AF17 0100007F:A938')).toHaveLength(1);
  });

  it('has nothing in an empty text', () => {
    expect([...scan('', 'key'), ...scan(header, 'key'), ...scan('\n\n', '')]).toEqual([]);
  });

  it('takes a timer that it does not know for none', () => {
    expect(scan(quiet.replace(' 00:', ' 09:'), '0100007F:AF17 0100007F:A938')[0]?.[1].timer).toBe('none');
  });

  it.each([
    ['no row', 'nonsense\n'],
    ['a colon and nothing', '   1: \n'],
    ['half a key', '   1: 0100007F:AF17 01\n'],
    ['a key and nothing', '   1: 0100007F:AF17 0100007F:A938\n'],
    ['a row without its end', '   1: 0100007F:AF17 0100007F:A938 01 00000000:00000000 00:00000000 0000\n'],
    ['no number', quiet.replace('00000000:00000000', '0000ZZ00:00000000')],
    ['no decimal number', quiet.replace(' 0 4167217', ' A 4167217')],
    ['no upper case', quiet.replace('00000000:00000000', '000000ff:00000000')],
  ])('passes over %s, and goes on', (_what, line) => {
    const found = scan(
      header + line + closedWindow,
      '0100007F:AF17 0100007F:A938',
      '0100007F:9AF7 0100007F:9124',
      '',
      ' ',
    );
    expect(found.map(([key]) => key)).toEqual(['0100007F:9AF7 0100007F:9124']);
  });

  it('reads a row that has everything but the timeout', () => {
    const [found] = scan(quiet.replace('20 0 0 10 -1', ''), '0100007F:AF17 0100007F:A938');
    expect(found?.[1].rto).toBeUndefined();
    expect(found?.[1].state).toBe(1);
  });
});

describe('a table of IPv6', () => {
  const key = '00000000000000000000000001000000:C78D 00000000000000000000000001000000:9C0E';
  const mapped = '0000000000000000FFFF00000100007F:C78E 0000000000000000FFFF00000100007F:9C0F';
  const text =
    `${header6}   0: ${key} 01 00000100:00000000 01:00000014 00000000     0        0 4167217 1 00000000e1baf3ba 22 0 0 10 -1\n` +
    `   1: ${mapped} 01 00000000:00000000 00:00000000 00000000     0        0 4167218 1 00000000e1baf3bb 23 4 30 10 -1\n`;

  it('is read the same way', () => {
    expect(scan(text, key, mapped)).toEqual([
      [key, { unacked: 256, unread: 0, timer: 'retransmit', retransmits: 0, unansweredProbes: 0, rto: 220, state: 1 }],
      [mapped, { unacked: 0, unread: 0, timer: 'none', retransmits: 0, unansweredProbes: 0, rto: 230, state: 1 }],
    ]);
  });

  it('has the keys that sockets give', () => {
    const found = scan(
      text,
      connectionKey('::1', 0xc78d, '::1', 0x9c0e, true)!.key,
      connectionKey('::ffff:127.0.0.1', 0xc78e, '::ffff:127.0.0.1', 0x9c0f, true)!.key,
    );
    expect(found.map(([each]) => each)).toEqual([key, mapped]);
  });
});

/** @param written - one count, or those before and after the table was read */
function sample(written: number | [before: number, after: number], row: Partial<TcpRow>): AckSample {
  const [writtenBefore, writtenAfter] = typeof written === 'number' ? [written, written] : written;
  return {
    writtenBefore,
    writtenAfter,
    row: { unacked: 0, unread: 0, timer: 'none', retransmits: 0, unansweredProbes: 0, rto: 200, state: 1, ...row },
  };
}

describe('what a row says', () => {
  const before = sample(1000, { unacked: 300, timer: 'retransmit', retransmits: 2 });

  it('acknowledged: nothing is outstanding', () => {
    expect(readAcknowledgement(undefined, sample(1000, {}))).toBe('acknowledged');
    expect(readAcknowledgement(before, sample(1000, {}))).toBe('acknowledged');
  });

  it('waiting: something is', () => {
    expect(readAcknowledgement(undefined, before)).toBe('waiting');
    expect(readAcknowledgement(before, before)).toBe('waiting');
  });

  it('waiting: more is than before, and none of it acknowledged', () => {
    expect(readAcknowledgement(before, sample(1500, { unacked: 800, timer: 'retransmit', retransmits: 3 }))).toBe(
      'waiting',
    );
  });

  it('progress: less is', () => {
    expect(readAcknowledgement(before, sample(1000, { unacked: 299, timer: 'retransmit', retransmits: 2 }))).toBe(
      'progress',
    );
  });

  it('progress: more is, but less than was written', () => {
    expect(readAcknowledgement(before, sample(1500, { unacked: 799, timer: 'retransmit', retransmits: 2 }))).toBe(
      'progress',
    );
  });

  it('progress: it retransmits less often in a row', () => {
    expect(readAcknowledgement(before, sample(1000, { unacked: 300, timer: 'retransmit', retransmits: 1 }))).toBe(
      'progress',
    );
  });

  it('waiting: what was written while the table was read may not be in the row', () => {
    expect(
      readAcknowledgement(before, sample([1000, 1100], { unacked: 300, timer: 'retransmit', retransmits: 2 })),
    ).toBe('waiting');
  });

  it('waiting: what was written while the last one was read may not have been in that', () => {
    const last = sample([1000, 1100], { unacked: 400, timer: 'retransmit' });
    expect(readAcknowledgement(last, sample(1100, { unacked: 400, timer: 'retransmit' }))).toBe('waiting');
    expect(readAcknowledgement(last, sample(1100, { unacked: 399, timer: 'retransmit' }))).toBe('progress');
  });

  it('waiting, in whatever way a process writes to a peer that is gone, and whenever the rows are of', () => {
    let [written, previous] = [1000, undefined as AckSample | undefined];
    const verdicts = new Set<string>();
    for (let pass = 0; pass < 200; pass++) {
      const writtenBefore = written;
      const inRow = (written += (pass * 7) % 5);
      written += (pass * 3) % 4;
      const current = sample([writtenBefore, written], {
        unacked: inRow - 700,
        timer: 'retransmit',
        retransmits: Math.floor(pass / 20),
      });
      verdicts.add(readAcknowledgement(previous, current));
      previous = current;
      written += pass % 3;
    }
    expect([...verdicts]).toEqual(['waiting']);
  });

  it('window-closed: probes are answered, or one is under way', () => {
    for (const unansweredProbes of [0, 1])
      expect(
        readAcknowledgement(undefined, sample(1000, { unacked: 5, timer: 'window-probe', unansweredProbes })),
      ).toBe('window-closed');
  });

  it('waiting: two probes are not answered', () => {
    expect(
      readAcknowledgement(undefined, sample(1000, { unacked: 5, timer: 'window-probe', unansweredProbes: 2 })),
    ).toBe('waiting');
  });

  it('progress, rather than a closed window, where there is some', () => {
    expect(readAcknowledgement(before, sample(1000, { unacked: 200, timer: 'window-probe' }))).toBe('progress');
  });

  it('waiting: in TIME_WAIT nothing is outstanding, and the peer is gone', () => {
    expect(readAcknowledgement(undefined, sample(1000, { timer: 'time-wait', state: 6 }))).toBe('waiting');
    expect(readAcknowledgement(before, sample(1000, { timer: 'time-wait', state: 6 }))).toBe('waiting');
  });

  it('holds for counts of plain text: the overhead on the wire makes no progress', () => {
    // 22 bytes on top of each write of 3, in rows of a peer that is gone.
    const plain = Array.from({ length: 20 }, (_, beat) =>
      sample(1000 + 3 * beat, { unacked: 25 * beat + 25, timer: 'retransmit', retransmits: 1 }),
    );
    expect(plain.map((each, beat) => readAcknowledgement(plain[beat - 1], each))).toEqual(plain.map(() => 'waiting'));
  });
});
