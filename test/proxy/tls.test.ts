import http2 from 'node:http2';
import https from 'node:https';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { proxy, type ProxyError, type ProxyOptions, type UpstreamTls } from '../../src/proxy/index.ts';
import { bare, listen } from '../support/carriers.ts';
import { makeAuthority, makeCertificate } from '../support/certificate.ts';
import { attend, serve } from '../support/serve.ts';
import { testProxy } from './upstreams.ts';

const authority = makeAuthority();

/** What an upstream saw of one connection. */
interface Seen {
  readonly servername: unknown;
  readonly client: string | undefined;
  readonly protocol: string | null;
  readonly httpVersion: string;
}

interface SecureUpstream {
  /** By the name that a certificate is for, and by the address. */
  readonly byName: string;
  readonly byAddress: string;
  readonly host: string;
  readonly seen: Seen[];
}

async function secureUpstream(options: TlsOptions, isHttp2 = false): Promise<SecureUpstream> {
  const seen: Seen[] = [];
  const server = isHttp2
    ? http2.createSecureServer({ allowHTTP1: true, ...options })
    : https.createServer(options as https.ServerOptions);
  server.on('request', (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
    const socket = req.httpVersionMajor === 2 ? req.stream.session!.socket : req.socket;
    const { servername, getPeerCertificate, getProtocol } = socket as TLSSocket & { servername?: unknown };
    seen.push({
      servername,
      client: getPeerCertificate.call(socket)?.subject?.CN as string | undefined,
      protocol: getProtocol.call(socket),
      httpVersion: req.httpVersion,
    });
    res.end('secret');
  });
  const { port } = attend(await listen(server as https.Server));
  return {
    byName: `https://localhost:${port}`,
    byAddress: `https://127.0.0.1:${port}`,
    host: `localhost:${port}`,
    seen,
  };
}

/** Status and body of an answer; in place of the body the code of the failure, and that of its cause. */
async function ask(options: ProxyOptions, headers: Record<string, string> = {}): Promise<unknown[]> {
  const failures: unknown[] = [];
  const running = await serve(
    bare,
    testProxy({
      retry: false,
      ...options,
      onError: (error: ProxyError, _req, res) => {
        failures.push(error.code, (error.cause as { code?: unknown }).code);
        (res as unknown as { writeHead(status: number): { end(): void } }).writeHead(error.status).end();
      },
    }),
  );
  const reading = await running.visit({ headers });
  await reading.over;
  return [reading.status, ...(failures.length > 0 ? failures : [reading.text])];
}

/** The same without the cause, which OpenSSL names as its version likes. */
async function failureOf(options: ProxyOptions): Promise<unknown[]> {
  return (await ask(options)).slice(0, 2);
}

const unreachable = 'ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE';

describe.skipIf(!authority)('an upstream over TLS', () => {
  const { ca, issue } = authority ?? { ca: '', issue: () => ({ key: '', cert: '' }) };
  const named = issue('upstream', 'DNS:localhost', 'DNS:api.example');
  const addressed = issue('upstream', 'IP:127.0.0.1');
  const client = issue('the proxy');

  it('is verified: an unknown authority, its own signature and another name are refused', async () => {
    const upstream = await secureUpstream(named);
    const own = await secureUpstream(makeCertificate()!);
    const rows: [target: string, tls: UpstreamTls, answer: unknown[]][] = [
      [upstream.byName, { ca }, [200, 'secret']],
      [upstream.byName, {}, [502, unreachable, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']],
      [own.byName, {}, [502, unreachable, 'DEPTH_ZERO_SELF_SIGNED_CERT']],
      [own.byName, { ca }, [502, unreachable, 'DEPTH_ZERO_SELF_SIGNED_CERT']],
      [upstream.byAddress, { ca }, [502, unreachable, 'ERR_TLS_CERT_ALTNAME_INVALID']],
      [upstream.byName, { ca, servername: 'other.example' }, [502, unreachable, 'ERR_TLS_CERT_ALTNAME_INVALID']],
      [upstream.byAddress, { ca, servername: 'api.example' }, [200, 'secret']],
    ];
    for (const [target, tls, answer] of rows)
      expect([target, tls, ...(await ask({ target, tls }))]).toEqual([target, tls, ...answer]);
    expect([upstream.seen.map(({ servername }) => servername), own.seen]).toEqual([['localhost', 'api.example'], []]);
  });

  it('is asked by its own name, whatever `Host` says', async () => {
    const upstream = await secureUpstream(named);
    for (const options of [
      { host: 'client' },
      { host: 'other.example' },
      { requestHeaders: { Host: 'other.example' } },
    ] satisfies Partial<ProxyOptions>[]) {
      const answer = await ask({ target: upstream.byName, tls: { ca }, ...options }, { host: 'evil.example' });
      expect(answer).toEqual([200, 'secret']);
    }
    expect(upstream.seen.map(({ servername }) => servername)).toEqual(['localhost', 'localhost', 'localhost']);

    // An address has no name, so none is sent.
    const byAddress = await secureUpstream(addressed);
    const answer = await ask({ target: byAddress.byAddress, tls: { ca }, host: 'client' }, { host: 'evil.example' });
    expect([answer, byAddress.seen[0]?.servername]).toEqual([[200, 'secret'], false]);
  });

  it('keeps its connection when `Host` changes', async () => {
    const upstream = https.createServer(named, (_req, res) => res.end());
    let connections = 0;
    upstream.on('secureConnection', () => (connections += 1));
    const { port } = attend(await listen(upstream));
    const middleware = testProxy({ target: `https://localhost:${port}`, tls: { ca }, host: 'client' });
    const running = await serve(bare, middleware);
    for (let visit = 0; visit < 5; visit += 1) {
      const reading = await running.visit({ headers: { host: `tenant-${visit}.example` } });
      expect([reading.status, await reading.over]).toEqual([200, 'end']);
    }
    expect(connections).toBe(1);
  });

  it('gets the certificate of the proxy, where it asks for one', async () => {
    const upstream = await secureUpstream({ ...named, ca, requestCert: true, rejectUnauthorized: true });
    const target = upstream.byName;
    expect(await ask({ target, tls: { ca, ...client } })).toEqual([200, 'secret']);
    expect(upstream.seen).toMatchObject([{ client: 'the proxy' }]);
    const [status, code, cause] = await ask({ target, tls: { ca } });
    expect([status, code, upstream.seen.length]).toEqual([502, unreachable, 1]);
    expect(String(cause)).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET|UND_ERR_SOCKET|HANDSHAKE_FAILURE/);
  });

  it('has settings by host, with and without the port; of health probes too', async () => {
    const [a, b] = [await secureUpstream(named), await secureUpstream(makeCertificate()!)];
    const tls = { [a.host]: { ca }, localhost: { ca: makeCertificate()!.cert } };
    expect(await ask({ target: a.byName, tls })).toEqual([200, 'secret']);
    expect(await ask({ target: b.byName, tls })).toEqual([502, unreachable, 'DEPTH_ZERO_SELF_SIGNED_CERT']);
    expect(await ask({ target: a.byName, tls: { LOCALHOST: { ca } } })).toEqual([200, 'secret']);
    expect(await ask({ target: a.byName, tls: { 'localhost:1': { ca } } })).toEqual([
      502,
      unreachable,
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ]);
    const probing = testProxy({ target: a.byName, tls, health: { every: 10 } });
    const running = await serve(bare, probing);
    await (
      await running.visit()
    ).over;
    await expect.poll(() => probing.upstreams()[0]?.roundTrip, { timeout: 20_000 }).toBeGreaterThan(0);
  });

  it('is asked by TLS 1.2 at least, or 1.3', async () => {
    const old = await secureUpstream({ ...named, minVersion: 'TLSv1', maxVersion: 'TLSv1.2' });
    expect(await ask({ target: old.byName, tls: { ca } })).toEqual([200, 'secret']);
    expect(old.seen).toMatchObject([{ protocol: 'TLSv1.2' }]);
    expect(await failureOf({ target: old.byName, tls: { ca, minVersion: 'TLSv1.3' } })).toEqual([502, unreachable]);
    const older = await secureUpstream({
      ...named,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    expect(await failureOf({ target: older.byName, tls: { ca } })).toEqual([502, unreachable]);
    expect(older.seen).toEqual([]);
  });

  it('is asked by HTTP/2, where both allow it', async () => {
    const upstream = await secureUpstream(named, true);
    expect(await ask({ target: upstream.byName, tls: { ca, allowH2: true } })).toEqual([200, 'secret']);
    expect(await ask({ target: upstream.byName, tls: { ca } })).toEqual([200, 'secret']);
    expect(upstream.seen.map(({ httpVersion }) => httpVersion)).toEqual(['2.0', '1.1']);
  });

  it('that is not verified is said loudly, once', async () => {
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    const upstream = await secureUpstream(makeCertificate()!);
    const tls = { [upstream.host]: { rejectUnauthorized: false } };
    for (let time = 0; time < 2; time += 1)
      expect(await ask({ target: upstream.byName, tls })).toEqual([200, 'secret']);
    expect(warnings.filter((each) => each.includes('not verified'))).toEqual([
      `The certificates of upstreams are not verified: \`proxy.tls.${upstream.host}.rejectUnauthorized\` is false`,
    ]);
  });
});

describe('options of TLS', () => {
  const rows: [tls: unknown, option: string][] = [
    ['pem', 'proxy.tls'],
    [{ CA: 'pem' }, 'proxy.tls.CA'],
    [{ 'api.example': { sernername: 'a' } }, 'proxy.tls.api.example.sernername'],
    [{ ca: './ca.pem' }, 'proxy.tls.ca'],
    [{ 'api.example': { key: 'no key' } }, 'proxy.tls.api.example'],
    [{ servername: '' }, 'proxy.tls.servername'],
    [{ minVersion: 'TLSv1' }, 'proxy.tls.minVersion'],
    [{ allowH2: 'yes' }, 'proxy.tls.allowH2'],
    [{ rejectUnauthorized: 0 }, 'proxy.tls.rejectUnauthorized'],
  ];

  it.each(rows)('%j is refused', (tls, option) => {
    const make = (): unknown => proxy({ target: 'https://a.example', tls } as ProxyOptions);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ option }));
  });
});
