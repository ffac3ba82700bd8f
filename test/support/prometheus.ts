import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { lastingPort } from './lasting-port.ts';

/** Whether tests have to be left out for lack of Prometheus, which is said. Never, where everything is required. */
export function lacksPrometheus(tests: string): boolean {
  const lacks = spawnSync('promtool', ['--version']).error !== undefined && process.env['SLUICE_REQUIRE_ALL'] !== '1';
  if (lacks) console.warn(`Skipped, ${tests}: there is no promtool; install the package prometheus`);
  return lacks;
}

/** A Prometheus that runs. */
export interface RunningPrometheus {
  /** What its HTTP API answers; throws what it says of a request that fails. */
  ask(path: string, parameters?: Readonly<Record<string, string>>): Promise<unknown>;
}

/**
 * Runs Prometheus as a process of this test, until the test is over.
 * @param folder - that has `prometheus.yml`, and gets its data
 */
export async function startPrometheus(folder: string): Promise<RunningPrometheus> {
  const port = await lastingPort();
  const child = spawn(
    'prometheus',
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const exit = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });

  async function get(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${port}${path}?${new URLSearchParams(parameters).toString()}`);
  }

  for (;;) {
    if (child.exitCode !== null) throw new Error(`Prometheus has ended: ${log}`);
    const answer = await get('/-/ready').catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    async ask(path, parameters) {
      const answer = (await (await get(path, parameters)).json()) as { status: string; data: unknown; error?: string };
      if (answer.status !== 'success') throw new Error(`${answer.error}: ${JSON.stringify(parameters)}`);
      return answer.data;
    },
  };
}
