import { onTestFinished } from 'vitest';
import { proxy, type Proxy, type ProxyOptions } from '../../src/proxy/index.ts';
import { type RawConnection, type RawUpstream, startRawUpstream } from '../support/raw-upstream.ts';
import { until } from '../support/until.ts';

/** An upstream that answers with bytes, closed when the test is over. */
export async function rawUpstream(onRequest: (connection: RawConnection) => void): Promise<RawUpstream> {
  const upstream = await startRawUpstream(onRequest);
  onTestFinished(upstream.close);
  return upstream;
}

/** A proxy that is closed when the test is over. */
export function testProxy(options: ProxyOptions): Proxy {
  const made = proxy(options);
  onTestFinished(() => made.close());
  return made;
}

/** Waits for a number of connections, and returns the last. */
export async function connectionOf(upstream: RawUpstream, count = 1): Promise<RawConnection> {
  await until(() => upstream.connections.length >= count);
  return upstream.connections[count - 1]!;
}

/** The lines of a raw head whose name is given, in lower case, as values. */
export function fieldsOf(message: string, name: string): string[] {
  const head = message.slice(0, message.indexOf('\r\n\r\n'));
  return head
    .split('\r\n')
    .slice(1)
    .filter((line) => line.toLowerCase().startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trim());
}
