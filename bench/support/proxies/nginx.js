// @ts-check
import { spawn } from 'node:child_process';
import console from 'node:console';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * What a proxy of this kind is told as a rule: connections to the upstream stay open, nothing is written to disk, and
 * event streams are not buffered.
 * @param {string} folder
 * @param {number} port
 * @param {number} upstream - its port
 */
function configuration(folder, port, upstream) {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr crit;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100000000;
  ${paths.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  upstream app { server 127.0.0.1:${upstream}; keepalive 2000; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_max_temp_file_size 0;
    location / { proxy_pass http://app; }
    location /events { proxy_pass http://app; proxy_buffering off; }
  }
}
`;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** @param {number} port */
async function untilOpen(port) {
  for (let tries = 0; tries < 100; tries++) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    await delay(50);
  }
  throw new Error('nginx does not listen');
}

/** nginx in a process of its own, measured in place of this one. */
export function serveNginx() {
  let port = 0;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  return {
    app() {
      throw new Error('nginx answers');
    },
    calls: {
      /** @param {number} upstream */
      async connect(upstream) {
        port = await freePort();
        const folder = mkdtempSync(join(tmpdir(), 'sluice-nginx-'));
        const file = join(folder, 'nginx.conf');
        writeFileSync(file, configuration(folder, port, upstream));
        child = spawn('nginx', ['-p', folder, '-c', file], { stdio: ['ignore', 'inherit', 'inherit'] });
        child.on('error', (error) => {
          console.error(`nginx is needed for this scenario: ${error.message}`);
          process.exit(1);
        });
        process.on('exit', () => {
          // Not by a signal that it handles: it would look for files that are gone.
          child?.kill('SIGKILL');
          rmSync(folder, { recursive: true, force: true });
        });
        await untilOpen(port);
      },
      port: () => port,
      /** In µs: what the kernel counts in ns for the one thread that there is. */
      cpu: () => Number(readFileSync(`/proc/${child?.pid}/schedstat`, 'latin1').split(' ', 1)[0]) / 1000,
      /** In µs; counted in steps of 10 ms, behind the name of the program in brackets. */
      userCpu: () => Number(readFileSync(`/proc/${child?.pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[11]) * 10_000,
    },
  };
}
