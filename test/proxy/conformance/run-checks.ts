import aborts from './checks/aborts.ts';
import failures from './checks/failures.ts';
import framing from './checks/framing.ts';
import headers from './checks/headers.ts';
import streaming from './checks/streaming.ts';
import upgrade from './checks/upgrade.ts';
import { type Check, Site } from './site.ts';
import { type Subject, SubjectProcess } from './subject-process.ts';
import { type Verdict, wrong } from './verdict.ts';

/** All checks, in the order of the table. */
export const checks: readonly Check[] = [...streaming, ...aborts, ...headers, ...framing, ...failures, ...upgrade];

const none: Verdict = { kind: 'none', text: '–' };

/** What one run needs beside the checks. */
export interface RunOptions {
  /** How long something may take before it counts as not happening, in ms. */
  readonly patience: number;
  /** Checks at once. */
  readonly atOnce: number;
}

export interface Results {
  readonly verdicts: ReadonlyMap<Check, Verdict>;
  /** What the process has printed while it ran all checks. */
  readonly stderr: string;
}

/**
 * Runs checks against a proxy, all in one process of its own. A check that is under way when that process dies is run
 * again, alone in another: then it is known which one killed it.
 */
export async function runChecks(subject: Subject, chosen: readonly Check[], options: RunOptions): Promise<Results> {
  const verdicts = new Map<Check, Verdict>();
  const left = [...chosen];
  const suspects: Check[] = [];
  let child = new SubjectProcess(subject);
  let stderr = '';
  const worker = async (): Promise<void> => {
    for (let check = left.shift(); check; check = left.shift()) {
      const running = child;
      const verdict = await runCheck(subject, running, check, options.patience);
      // What dies cuts its connections, and may so look right.
      if (await running.isAlive()) {
        verdicts.set(check, verdict);
        continue;
      }
      suspects.push(check);
      if (running !== child) continue;
      stderr += child.stderr;
      child = new SubjectProcess(subject);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, worker));
  stderr += child.stderr;
  await child.stop();
  for (const check of suspects) {
    const alone = new SubjectProcess(subject);
    const verdict = await runCheck(subject, alone, check, options.patience);
    verdicts.set(check, (await alone.isAlive()) ? verdict : wrong('**process dies**'));
    await alone.stop();
  }
  return { verdicts, stderr };
}

async function runCheck(subject: Subject, child: SubjectProcess, check: Check, patience: number): Promise<Verdict> {
  const front = check.front ?? 'http1';
  if (!subject.fronts.includes(front) || (check.needs === 'upgrade' && !subject.canUpgrade)) return none;
  const site = new Site(child, front, patience);
  try {
    const died = child.over.then((how) => wrong(how));
    return await Promise.race([check.run(site), died]);
  } catch (error) {
    return wrong(`fails: ${(error as Error).message}`);
  } finally {
    await site.close();
  }
}
