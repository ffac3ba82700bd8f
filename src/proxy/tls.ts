import { createSecureContext } from 'node:tls';
import { InvalidOptionError } from '../errors.ts';
import { type OptionNames, readBag, readBoolean, readOneOf, readOptions } from '../internal/option.ts';
import type { ProxyOptions, UpstreamTls } from './options.ts';
import type { Target } from './policy/request-target.ts';

const tlsNames: OptionNames<UpstreamTls> = {
  ca: true,
  cert: true,
  key: true,
  passphrase: true,
  servername: true,
  minVersion: true,
  allowH2: true,
  rejectUnauthorized: true,
};

/** Reads the TLS of upstreams: of all, or by host. Throws `InvalidOptionError`. */
export function readTls(given: ProxyOptions['tls']): (target: Target) => UpstreamTls {
  const bag = readBag('proxy.tls', given) as Record<string, unknown>;
  const values = Object.values(bag);
  if (values.length === 0 || !values.every(isBag)) {
    const forAll = readOne('proxy.tls', bag);
    return () => forAll;
  }
  const byHost = new Map<string, UpstreamTls>();
  for (const [host, tls] of Object.entries(bag)) {
    byHost.set(host.toLowerCase(), readOne(`proxy.tls.${host}`, tls as UpstreamTls));
  }
  return ({ origin }) => {
    const { hostname, port } = new URL(origin);
    return byHost.get(`${hostname}:${port === '' ? 443 : port}`) ?? byHost.get(hostname) ?? {};
  };
}

/** Whether it is an object of options, and not itself one that TLS takes. */
function isBag(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function readOne(option: string, given: UpstreamTls): UpstreamTls {
  const { ca, cert, key, passphrase, ...tls } = readOptions(option, given, tlsNames);
  const { servername, minVersion = 'TLSv1.2', allowH2 = false, rejectUnauthorized = true } = tls;
  if (servername !== undefined && (typeof servername !== 'string' || servername === '')) {
    throw new InvalidOptionError(`${option}.servername`, 'the name of a host', servername);
  }
  readOneOf(`${option}.minVersion`, minVersion, ['TLSv1.2', 'TLSv1.3']);
  readBoolean(`${option}.allowH2`, allowH2);
  if (!readBoolean(`${option}.rejectUnauthorized`, rejectUnauthorized)) warnOfUnverified(option);
  // Node takes a text without a certificate, such as the name of a file, for no certificate.
  for (const each of [ca ?? []].flat()) {
    if (!String(each).includes('-----BEGIN ')) throw new InvalidOptionError(`${option}.ca`, 'PEM', each);
  }
  const identity = { ca, cert, key, passphrase };
  if (Object.values(identity).some((each) => each !== undefined)) requireReadable(option, identity);
  return given;
}

function requireReadable(option: string, identity: Pick<UpstreamTls, 'ca' | 'cert' | 'key' | 'passphrase'>): void {
  try {
    createSecureContext(identity as Parameters<typeof createSecureContext>[0]);
  } catch (error) {
    // Not its value: that may be a key.
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidOptionError(option, { sentence: `has a certificate or a key that Node refuses: ${why}` });
  }
}

let hasWarned = false;

function warnOfUnverified(option: string): void {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(`The certificates of upstreams are not verified: \`${option}.rejectUnauthorized\` is false`, {
    type: 'SluiceWarning',
    code: 'SLUICE_UNVERIFIED_UPSTREAM',
    detail: 'Anyone between this process and the upstream can read and change what passes. Use `ca` instead.',
  });
}
