import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { lastingPort } from '../browser/support.ts';
import { connectRaw } from './raw.ts';

const path = process.env['NGINX_PATH'] ?? '/usr/sbin/nginx';

/** Whether tests have to be left out for lack of nginx, which is said. Never, where everything is required. */
export function lacksNginx(tests: string): boolean {
  const lacks = !existsSync(path) && process.env['SLUICE_REQUIRE_ALL'] !== '1';
  if (lacks) console.warn(`Skipped, ${tests}: there is no nginx at ${path}; set NGINX_PATH`);
  return lacks;
}

/**
 * Runs nginx as a process of this test, in front of one server. Returns its origin.
 * @param directives - of its `location`, behind what makes connections to the server last
 */
export async function startNginx(upstream: string, directives: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-nginx-'));
  const port = await lastingPort();
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, port, upstream, directives));
  const child = spawn(path, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const exit = once(child, 'exit');
  onTestFinished(async () => {
    child.kill();
    await exit;
    await rm(folder, { recursive: true, force: true });
  });
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx has ended: ${log}`);
    const client = await connectRaw(port).catch(() => undefined);
    client?.destroy();
    if (client) return `http://127.0.0.1:${port}`;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function configuration(folder: string, port: number, upstream: string, directives: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr error;
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      ${directives}
    }
  }
}
`;
}
