import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CloseReason, errorClasses } from '../../src/errors.ts';
import { histogramInstruments, numberInstruments } from '../../src/monitor/instruments.ts';
import { alertsFile, queriesOf, readDashboard } from './example.ts';

/** The names that Prometheus has for each instrument, with its labels. */
const instruments = [
  ...numberInstruments.map(({ kind, name, labels }) => ({
    names: [`sluice_${name}${kind === 'counter' ? '_total' : ''}`],
    labels,
  })),
  ...histogramInstruments.map(({ name, labels }) => ({
    names: ['_bucket', '_sum', '_count'].map((end) => `sluice_${name}${end}`),
    labels: [...labels, 'le'],
  })),
];

const labelsOfName = new Map(instruments.flatMap(({ names, labels }) => names.map((name) => [name, labels] as const)));

// What Prometheus adds to each series.
const targetLabels = ['job', 'instance'];

const reasons: Record<CloseReason, true> = {
  ended: true,
  'client-closed': true,
  deadline: true,
  idle: true,
  draining: true,
  'slow-consumer': true,
  'heartbeat-timeout': true,
  error: true,
};

/** The values of labels that queries may name. */
const valuesOfLabel: Record<string, readonly string[]> = {
  reason: Object.keys(reasons),
  code: Object.keys(errorClasses),
  status: ['1xx', '2xx', '3xx', '4xx', '5xx', 'aborted'],
  state: ['active', 'draining', 'dead'],
  coding: ['identity', 'gzip', 'deflate', 'br', 'zstd'],
  result: ['hit', 'miss'],
};

const alerts = readFileSync(alertsFile, 'utf8');
const dashboard = readDashboard();
const variables = dashboard.templating.list.map(({ query }) => JSON.stringify(query));
const queries = [...queriesOf(dashboard).map(({ expression }) => expression), ...variables].join('\n');

/** Names of metrics in a text. */
function namesIn(text: string): string[] {
  return [...new Set(text.match(/\bsluice_\w+/g))];
}

/** Each `label="value"` of a metric in a text. */
function matchersIn(text: string): { name: string; label: string; value: string }[] {
  return [...text.matchAll(/\b(sluice_\w+)\{([^}]*)\}/g)].flatMap(([, name, inside]) =>
    [...inside!.matchAll(/(\w+)\s*(?:=|!=|=~|!~)\s*\\?"(.*?)\\?"/g)].map(([, label, value]) => ({
      name: name!,
      label: label!,
      value: value!,
    })),
  );
}

describe.each([
  ['alerts.yml', alerts],
  ['dashboard.json', queries],
])('%s', (_name, text) => {
  it('names metrics that exist', () => {
    expect(namesIn(text).length).toBeGreaterThan(15);
    expect(namesIn(text).filter((name) => !labelsOfName.has(name))).toEqual([]);
  });

  it('names labels that these metrics have, and values that these labels have', () => {
    const matchers = matchersIn(text);
    expect(matchers.length).toBeGreaterThan(5);
    const unknown = matchers.filter(
      ({ name, label }) => !targetLabels.includes(label) && !labelsOfName.get(name)?.includes(label),
    );
    expect(unknown).toEqual([]);
    const impossible = matchers
      .filter(({ label }) => !targetLabels.includes(label))
      .flatMap(({ name, label, value }) => value.split('|').map((each) => ({ name, label, value: each })))
      .filter(({ label, value }) => !valuesOfLabel[label]?.includes(value));
    expect(impossible).toEqual([]);
  });

  it('groups by labels that exist', () => {
    const known = new Set([...targetLabels, ...instruments.flatMap(({ labels }) => labels)]);
    const groups = [...text.matchAll(/\b(?:by|on|group_left)\s*\(([^)]*)\)/g)].flatMap(([, inside]) =>
      inside!.split(',').map((label) => label.trim()),
    );
    expect(groups.length).toBeGreaterThan(10);
    expect(groups.filter((label) => label !== '' && !known.has(label))).toEqual([]);
  });
});

describe('dashboard.json', () => {
  const { panels, schemaVersion } = dashboard;

  it('shows every metric', () => {
    const shown = namesIn(queries);
    expect(instruments.filter(({ names }) => !names.some((name) => shown.includes(name)))).toEqual([]);
  });

  it('asks the data source that is chosen on the page', () => {
    const sources = panels.flatMap(({ datasource, targets = [] }) => [
      ...(datasource ? [datasource.uid] : []),
      ...targets.map((target) => target.datasource.uid),
    ]);
    expect(new Set(sources)).toEqual(new Set(['${datasource}']));
    expect(dashboard.templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' });
  });

  it('asks for the chosen jobs alone', () => {
    const every = queriesOf(dashboard);
    expect(every.filter(({ expression }) => !expression.includes('job=~"$job"'))).toEqual([]);
  });

  it('has rows, and panels of which none covers another one', () => {
    expect(schemaVersion).toBeGreaterThanOrEqual(38);
    expect(panels.filter(({ type }) => type === 'row').map(({ title }) => title)).toEqual([
      'Streams',
      'Responses',
      'Bytes before and after compression',
      'Connections and round trips',
      'Compression',
      'Proxy and canary',
      'Process',
      'Channels',
    ]);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });
});
