import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lacksPrometheus } from '../support/prometheus.ts';
import { rows } from './alerts.ts';
import { alertsFile } from './example.ts';

/**
 * One run of the rules over all series that fire, or over all that do not: each set of series is a job of its own, and
 * is asked for its alerts. Many runs would take a minute.
 */
function testOf(kind: 'fires' | 'quiet'): unknown {
  const sets = Object.entries(rows).flatMap(([name, row]) =>
    row[kind].map((series, index) => ({ name, at: row.at, series, job: row.job ?? `${name}-${index}` })),
  );
  return {
    interval: '15s',
    input_series: sets.flatMap(({ series, job }) =>
      Object.entries(series).map(([each, values]) => ({ series: each.replace('job="shop"', `job="${job}"`), values })),
    ),
    promql_expr_test: sets.map(({ name, at, job }) => ({
      expr: `count by (alertname) (ALERTS{alertstate="firing", job="${job}"})`,
      eval_time: at,
      exp_samples: kind === 'fires' ? [{ labels: `{alertname="${name}"}`, value: 1 }] : [],
    })),
  };
}

describe('alerts.yml', () => {
  const text = readFileSync(alertsFile, 'utf8');

  it('has alerts with a severity, and texts that say what to do', () => {
    const names = [...text.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
    expect(Object.keys(rows)).toEqual(names);
    expect(Object.values(rows).every(({ fires, quiet }) => fires.length > 0 && quiet.length > 0)).toBe(true);
    const blocks = text.split('- alert: ').slice(1);
    const lacking = blocks.filter(
      (block) => !/severity: (?:critical|warning|info)\n/.test(block) || !/summary: '[^]+description: >-\n/.test(block),
    );
    expect(lacking.map((block) => block.split('\n')[0])).toEqual([]);
  });

  it.skipIf(lacksPrometheus('the alerts of examples/observability'))(
    'fires each alert when it should, and no other one: promtool',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'sluice-alerts-'));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const check = spawnSync('promtool', ['check', 'rules', alertsFile], { encoding: 'utf8' });
      expect([check.status, check.stdout, check.stderr]).toEqual([0, expect.stringContaining('SUCCESS'), '']);
      // JSON is YAML, too.
      const tests = { rule_files: [alertsFile], evaluation_interval: '15s', tests: [testOf('fires'), testOf('quiet')] };
      writeFileSync(join(folder, 'tests.yml'), JSON.stringify(tests));
      const run = spawnSync('promtool', ['test', 'rules', 'tests.yml'], { cwd: folder, encoding: 'utf8' });
      expect([run.stderr, run.status]).toEqual(['', 0]);
      expect(run.stdout).toContain('SUCCESS');
    },
  );
});
