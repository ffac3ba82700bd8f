import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** Signs certificates. */
export interface Authority {
  /** Its own certificate. */
  readonly ca: string;
  /** @param names - as openssl writes them: `DNS:localhost`, `IP:127.0.0.1` */
  issue(subject: string, ...names: string[]): Certificate;
}

/** An authority of its own, made for this run; `undefined`, with a printed reason, where there is no openssl. */
export function makeAuthority(): Authority | undefined {
  const [caKey, caCert, request] = ['ca.key', 'ca.pem', 'request.pem'] as const;
  const ca = inFolder((at) => {
    openssl(...newKey, '-x509', '-days', '2', '-subj', '/CN=Test CA', '-keyout', at(caKey), '-out', at(caCert));
    return { key: readFileSync(at(caKey)), cert: readFileSync(at(caCert), 'utf8') };
  });
  if (!ca) return undefined;
  return {
    ca: ca.cert,
    issue: (subject, ...names) =>
      inFolder((at) => {
        writeFileSync(at(caKey), ca.key);
        writeFileSync(at(caCert), ca.cert);
        writeFileSync(at('names'), names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`);
        openssl(...newKey, '-subj', `/CN=${subject}`, '-keyout', at('key.pem'), '-out', at(request));
        const signer = ['-CA', at(caCert), '-CAkey', at(caKey), '-CAcreateserial'];
        openssl(
          'x509',
          '-req',
          '-in',
          at(request),
          ...signer,
          '-days',
          '2',
          '-extfile',
          at('names'),
          '-out',
          at('cert.pem'),
        );
        return { key: readFileSync(at('key.pem'), 'utf8'), cert: readFileSync(at('cert.pem'), 'utf8') };
      })!,
  };
}

/** A certificate for localhost, made for this run; `undefined`, with a printed reason, where there is no openssl. */
export function makeCertificate(): Certificate | undefined {
  return inFolder((at) => {
    openssl(
      ...newKey,
      '-x509',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-keyout',
      at('key.pem'),
      '-out',
      at('cert.pem'),
    );
    return { key: readFileSync(at('key.pem'), 'utf8'), cert: readFileSync(at('cert.pem'), 'utf8') };
  });
}

const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}

function inFolder<T>(make: (at: (name: string) => string) => T): T | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
  try {
    return make((name) => join(folder, name));
  } catch (error) {
    if (process.env['SLUICE_REQUIRE_ALL'] === '1' || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    console.warn('Skipped: tests over TLS need openssl, which is not installed.');
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
