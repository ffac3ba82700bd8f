import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

// On Node 20 a stream that was destroyed while it closes, with bytes that wait for its client, never returned: the
// process spun until it had no memory left. So it runs in a process of its own, against the built package.
const program = `
  import http2 from 'node:http2';
  import { lifecycle } from 'sluice/lifecycle';
  const life = lifecycle({ signals: false });
  const server = http2.createServer((req, res) => life(req, res, () => {
    res.write(Buffer.alloc(1024 * 1024));
    res.on('close', () => setTimeout(() => { console.log('closed'); process.exit(); }, 100));
    res.stream.close();
  }));
  server.listen(0, () => http2.connect('http://127.0.0.1:' + server.address().port).request({ ':path': '/' }).pause());`;

it('a handler may close the stream of its HTTP/2 response while bytes wait for the client', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    encoding: 'utf8',
    timeout: 10_000,
    killSignal: 'SIGKILL',
  });
  expect([stdout, stderr]).toEqual(['closed\n', '']);
});
