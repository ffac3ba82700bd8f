import fc from 'fast-check';

const huge = 'a'.repeat(300_000);
const manyFields = Array.from({ length: 3_000 }, (_, at) => `X-${at}: 1\r\n`).join('');

function get(...fields: string[]): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${fields.map((each) => `${each}\r\n`).join('')}\r\n`;
}

function post(body: string, ...fields: string[]): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${fields.map((each) => `${each}\r\n`).join('')}\r\n${body}`;
}

function answer(body: string, ...fields: string[]): string {
  return `HTTP/1.1 200 OK\r\n${fields.map((each) => `${each}\r\n`).join('')}\r\n${body}`;
}

const chunked = 'Transfer-Encoding: chunked';
const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

/** What a client sends. Each goes over a connection of its own, and ends it. */
export const fromClients: readonly string[] = [
  // Trailers that there are not, or that frame the message.
  ...['foo', '', ',', ', ,', 'foo,', 'a b', '\u00e9', ':', 'content-length', 'transfer-encoding', huge].map((value) =>
    get(`Trailer: ${value}`),
  ),
  get('Trailer: a', 'Trailer: b', 'TE: trailers', 'Connection: TE'),
  post('2\r\nok\r\n0\r\nfoo: 1\r\n\r\n', chunked, 'Trailer: foo'),
  post('2\r\nok\r\n0\r\nfoo\r\n\r\n', chunked, 'Trailer: foo'),
  post('2\r\nok\r\n0\r\n: x\r\n\r\n', chunked),
  post(`2\r\nok\r\n0\r\nX: ${huge}\r\n\r\n`, chunked),
  post(`2\r\nok\r\n0\r\n${manyFields}\r\n`, chunked),
  // Connection.
  ...[',', ', ,', 'close, ,', ' ', 'host', 'via, date', 'x-forwarded-for', '\t', ':', 'close,close', huge].map(
    (value) => get(`Connection: ${value}`),
  ),
  get('Connection: ', 'Connection: x-hop', 'X-Hop: 1'),
  get('Proxy-Connection: keep-alive', 'Keep-Alive: timeout=-1, max=0'),
  // Lengths.
  post('body', 'Content-Length: 4', 'Content-Length: 4'),
  post('body', 'Content-Length: 4', 'Content-Length: 5'),
  ...['4, 4', '4,5', '-1', '+4', '4.0', '0x4', '', 'NaN', '1e3', '99999999999999999999', '9007199254740993'].map(
    (value) => post('body', `Content-Length: ${value}`),
  ),
  get('Content-Length: 4'),
  // Transfer codings.
  ...['gzip', 'gzip, chunked', 'chunked, chunked', 'identity', 'Chunked', 'chunked;a=1', '', ',', 'chunked\t'].map(
    (value) => post('2\r\nok\r\n0\r\n\r\n', `Transfer-Encoding: ${value}`),
  ),
  post('2\r\nok\r\n0\r\n\r\n', chunked, 'Content-Length: 2'),
  post('2\r\nok\r\n0\r\n\r\n', chunked, chunked),
  ...['z', '-1', '+2', '0x2', '2 ', ';', '2;ext="', 'fffffffffffffffff', huge, '2\n'].map((size) =>
    post(`${size}\r\nok\r\n0\r\n\r\n`, chunked),
  ),
  post(`2;${huge}\r\nok\r\n0\r\n\r\n`, chunked),
  // Headers that are too long, too many or none.
  get(`X-Long: ${huge}`),
  get(manyFields.trimEnd()),
  get(`${huge}: 1`),
  get('X\0: 1'),
  get('X: \0'),
  get('X: \u007f'),
  get(' X: 1'),
  get(': 1'),
  get('X'),
  get('Host: b'),
  'GET / HTTP/1.1\r\n\r\n',
  `GET /${huge} HTTP/1.1\r\nHost: a\r\n\r\n`,
  // Targets, methods and versions.
  ...['*', '', 'a', '//', '///', '/\0', '/%', '/%00', '/ HTTP/1.1', 'http://', 'http://[', '?', '#', '/\u00ff'].map(
    (target) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
  ),
  ...['CONNECT', 'TRACE', 'PRI', 'M-SEARCH', 'get', 'PURGE', 'SOURCE', 'QUERY', 'X'.repeat(9000), ''].map(
    (method) => `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`,
  ),
  'CONNECT evil.example:80 HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n',
  ...['HTTP/0.9', 'HTTP/2.0', 'HTTP/1.9', 'HTTP/9.9', 'HTTP/1', 'ICY/1.0', ''].map(
    (version) => `GET / ${version}\r\nHost: a\r\n\r\n`,
  ),
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  '\r\n\r\n\r\n',
  huge,
  '\0'.repeat(1000),
  // Expectations.
  ...['100-continue', '200-ok', '', '100-continue, x'].map((value) =>
    post('ok', 'Content-Length: 2', `Expect: ${value}`),
  ),
  // Upgrades.
  get(...upgrade),
  get(...upgrade, key),
  get(...upgrade, 'Sec-WebSocket-Key: '),
  get('Connection: Upgrade', 'Upgrade: '),
  get('Connection: Upgrade', 'Upgrade: ,'),
  get('Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'),
  get('Connection: Upgrade', 'Upgrade: websocket, websocket', key),
  get('Connection: Upgrade', `Upgrade: ${huge}`),
  get('Connection: Upgrade'),
  get('Upgrade: websocket'),
  post('body', ...upgrade, key, 'Content-Length: 4'),
  post('4\r\nbody\r\n0\r\n\r\n', ...upgrade, key, chunked),
  `${get(...upgrade, key)}\xff\xff\xff\xff${'\0'.repeat(100)}`,
  `HEAD / HTTP/1.1\r\nHost: a\r\n${upgrade.join('\r\n')}\r\n${key}\r\n\r\n`,
  `GET / HTTP/1.0\r\n${upgrade.join('\r\n')}\r\n${key}\r\n\r\n`,
  // Forwarding.
  get('X-Forwarded-For: ,,,', 'Forwarded: for="[', 'X-Forwarded-Proto: ', 'Via: ,'),
  get(`X-Forwarded-For: ${'1.1.1.1, '.repeat(1000)}`),
  // What follows behind.
  `${get()}${get(...upgrade, key)}`,
  `${get()}${get()}${get(...upgrade, key)}${get()}`,
  `${get(...upgrade, key)}${get(...upgrade, key)}`,
  `${get()}${get()}garbage`,
  `${post('', 'Content-Length: 9')}bo`,
];

/** What an upstream answers with. It closes its connection behind each. */
export const fromUpstreams: readonly string[] = [
  '',
  '\r\n',
  '\0\0\0\0',
  'garbage',
  huge,
  'SSH-2.0-OpenSSH_9.2\r\n',
  'HTTP/1.1',
  'HTTP/1.1 200',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay',
  ...['000', '99', '1000', '-1', '600', '999', 'abc', ''].map(
    (status) => `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`,
  ),
  ...['HTTP/0.9', 'HTTP/2.0', 'HTTP/1.0', 'ICY', 'http/1.1'].map(
    (version) => `${version} 200 OK\r\nContent-Length: 0\r\n\r\n`,
  ),
  `HTTP/1.1 200 ${huge}\r\nContent-Length: 0\r\n\r\n`,
  'HTTP/1.1 200 \u00ff\u0080\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 O\x7fK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
  // Interim answers.
  'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n'.repeat(2_000) + answer('', 'Content-Length: 0'),
  'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2_000),
  'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100) + answer('', 'Content-Length: 0'),
  'HTTP/1.1 103 Early Hints\r\nLink: \r\nLink: <\r\n\r\n' + answer('', 'Content-Length: 0'),
  `HTTP/1.1 103 Early Hints\r\nLink: </\u00ff>; rel=preload\r\nX: \u00ff\r\n\r\n${answer('', 'Content-Length: 0')}`,
  `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 9\r\n\r\n${answer('', 'Content-Length: 0')}`,
  `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nTransfer-Encoding: chunked\r\n\r\n${answer('', 'Content-Length: 0')}`,
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00',
  'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'HTTP/1.1 199 X\r\n\r\n',
  // Framing.
  answer('ok', 'Content-Length: 2', 'Content-Length: 2'),
  answer('ok', 'Content-Length: 2', 'Content-Length: 3'),
  ...['2, 2', '-2', '+2', '2.0', '0x2', '', '99999999999999999999', '2 2'].map((value) =>
    answer('ok', `Content-Length: ${value}`),
  ),
  answer('2\r\nok\r\n0\r\n\r\n', chunked, 'Content-Length: 2'),
  ...['gzip', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'identity', ''].map((value) =>
    answer('2\r\nok\r\n0\r\n\r\n', `Transfer-Encoding: ${value}`),
  ),
  ...['z', '-1', '+2', '0x2', '2 ', ';', 'fffffffffffffffff', huge, ''].map((size) =>
    answer(`${size}\r\nok\r\n0\r\n\r\n`, chunked),
  ),
  answer(`2;${huge}\r\nok\r\n0\r\n\r\n`, chunked),
  answer('2\r\nokay\r\n0\r\n\r\n', chunked),
  answer('2\r\nok', chunked),
  answer('2\r\nok\r\n0\r\n', chunked),
  // Trailers.
  ...[
    'foo',
    ': 1',
    'X: \0',
    'X\0: 1',
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    `X: ${huge}`,
    ' X: 1',
    'X : 1',
  ].map((trailer) => answer(`2\r\nok\r\n0\r\n${trailer}\r\n\r\n`, chunked, 'Trailer: X')),
  answer(`2\r\nok\r\n0\r\n${manyFields}\r\n`, chunked),
  answer('ok', 'Content-Length: 2', 'Trailer: X'),
  ...['', ',', 'a b', ':', '\u00e9', huge].map((value) => answer('0\r\n\r\n', chunked, `Trailer: ${value}`)),
  // Headers.
  answer('ok', `X: ${huge}`),
  answer('ok', manyFields.trimEnd()),
  ...[
    'X',
    ': 1',
    ' X: 1',
    'X : 1',
    'X\0: 1',
    'X: \0',
    'X: \x01',
    'X: \x7f',
    'X: a\rb',
    'X: a\nb',
    'X(: 1',
    '\u00ff: 1',
  ].map((line) => answer('ok', line, 'Content-Length: 2')),
  ...[',', 'content-length', 'transfer-encoding', 'set-cookie, date', '\u00ff', huge].map((value) =>
    answer('ok', 'Content-Length: 2', `Connection: ${value}`),
  ),
  answer('ok', 'Content-Length: 2', 'Keep-Alive: timeout=-1', 'Keep-Alive: timeout=99999999999999'),
  answer('ok', 'Content-Length: 2', 'Vary: \u00ff', 'Vary: *', 'Vary: ,'),
  answer('ok', 'Content-Length: 2', 'Date: x', 'Date: y', 'Content-Type: ', 'Content-Type: a'),
  answer('ok', 'Content-Length: 2', 'Content-Encoding: gzip'),
  answer('data: x\n\n', 'Content-Type: text/event-stream; charset=\u00ff'),
  'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 401 X\r\nWWW-Authenticate: \r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 503 Busy\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n',
  // Answers that no one asked for.
  answer('', 'Content-Length: 0').repeat(50),
  `${answer('', 'Content-Length: 0')}garbage`,
  `${answer('', 'Content-Length: 0')}HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n`,
];

const requests: readonly string[] = [
  get('Accept: */*', 'Connection: keep-alive, x-hop', 'X-Hop: 1'),
  post('4\r\nbody\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n', chunked, 'Trailer: X-Sum', 'TE: trailers'),
  post('body', 'Content-Length: 4', 'Expect: 100-continue'),
  `${get(...upgrade, key)}\x81\x85\0\0\0\0early`,
];
const answers: readonly string[] = [
  answer('ok', 'Content-Length: 2', 'Set-Cookie: a=1', 'Connection: x-hop', 'X-Hop: 1'),
  answer('4\r\nbody\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n', chunked, 'Trailer: X-Sum'),
  `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n${answer('ok', 'Content-Length: 2')}`,
  answer('ok', 'Connection: close'),
];
const pieces = [
  ...[
    '\r\n',
    '\r',
    '\n',
    '\0',
    ':',
    ' ',
    '\t',
    ',',
    ';',
    '"',
    '\u00ff',
    '0',
    '0\r\n\r\n',
    '\r\n\r\n',
    huge.slice(0, 20_000),
  ],
  ...['Content-Length: 3\r\n', `${chunked}\r\n`, 'Connection: close\r\n', 'Trailer: a\r\n', 'Upgrade: h2c\r\n'],
  ...['HTTP/1.1 200 OK\r\n', 'HTTP/1.1 100 Continue\r\n\r\n', 'GET / HTTP/1.1\r\n', 'ffffffff', '-1', ' HTTP/1.0'],
];

/** Where an edit is, as a share of the text. */
const place = fc.double({ min: 0, max: 1, noNaN: true });
const edit = fc.oneof(
  fc.record({ at: place, insert: fc.constantFrom(...pieces), remove: fc.constant(0) }),
  fc.record({ at: place, insert: fc.constant(''), remove: fc.integer({ min: 1, max: 30 }) }),
  fc.record({
    at: place,
    insert: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)),
    remove: fc.constant(1),
  }),
  fc.record({ at: place, insert: fc.constant(''), remove: fc.constant(Infinity) }),
);

function mutated(texts: readonly string[]): fc.Arbitrary<string> {
  return fc.tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 4 })).map(([text, edits]) =>
    edits.reduce((edited, { at, insert, remove }) => {
      const start = Math.floor(at * edited.length);
      return edited.slice(0, start) + insert + edited.slice(start + remove);
    }, text),
  );
}

/** Messages with random changes. */
export const mutations = { ofRequests: mutated(requests), ofAnswers: mutated(answers) };
