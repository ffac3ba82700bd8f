import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checks, runChecks } from './run-checks.ts';
import type { Check } from './site.ts';
import type { Subject } from './subject-process.ts';
import { sluice } from './subjects.ts';
import type { Verdict } from './verdict.ts';

/** The packages to compare with, and what they can do. None of the last two passes on upgrades. */
const peers: Readonly<Record<string, Pick<Subject, 'fronts' | 'canUpgrade'> & { readonly program: string }>> = {
  // Express does not serve HTTP/2.
  'http-proxy-middleware': { program: 'http-proxy-middleware', fronts: ['http1'], canUpgrade: true },
  'http-proxy-3': { program: 'http-proxy-3', fronts: ['http1', 'h2c'], canUpgrade: true },
  httpxy: { program: 'httpxy', fronts: ['http1', 'h2c'], canUpgrade: true },
  '@fastify/reply-from': { program: 'fastify-reply-from', fronts: ['http1', 'h2c'], canUpgrade: false },
  'express-http-proxy': { program: 'express-http-proxy', fronts: ['http1'], canUpgrade: false },
};

// A machine with other work is slow; and what never happens takes all of it.
const options = { patience: 2_000, atOnce: 6 };

/**
 * Runs the checks on all proxies, and prints the table. Returns whether sluice passes.
 * @param folder - with the `node_modules` and the `subjects` of the peers @param text - of the names of the checks
 */
export async function printTable(folder: string, text: string): Promise<boolean> {
  const chosen = checks.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()));
  const subjects = [sluice, ...Object.entries(peers).map(([name, peer]) => subjectOf(folder, name, peer))];
  const columns: ReadonlyMap<Check, Verdict>[] = [];
  for (const subject of subjects) {
    console.error(`${subject.name} …`);
    columns.push((await runChecks(subject, chosen, options)).verdicts);
  }
  console.log(`Node ${process.version}\n`);
  console.log(row(['', ...subjects.map(({ name }) => name)]));
  console.log(row(['', ...subjects].map(() => '---')));
  for (const check of chosen) console.log(row([check.name, ...columns.map((verdicts) => cell(verdicts.get(check)))]));
  return chosen.every((check) => columns[0]?.get(check)?.kind !== 'wrong');
}

function subjectOf(folder: string, name: string, { program, fronts, canUpgrade }: (typeof peers)[string]): Subject {
  const manifest = readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  return { name: `${name} ${version}`, program: join(folder, `subjects/peers/${program}.js`), fronts, canUpgrade };
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function cell(verdict: Verdict | undefined): string {
  if (!verdict) return '';
  return verdict.kind === 'wrong' ? `✗ ${verdict.text}` : verdict.text;
}
