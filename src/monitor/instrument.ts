import type { HistogramSnapshot } from './policy/histogram.ts';
import type { Counts, MonitorSnapshot } from './snapshot.ts';

type Labels = Readonly<Record<string, string>>;

/** One number of an instrument. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** One histogram of an instrument. */
export interface HistogramSample {
  readonly labels: Labels;
  readonly histogram: HistogramSnapshot;
}

/** What all instruments have. */
export interface Instrument {
  /** With underscores; Prometheus gets `sluice_` before it, OpenTelemetry `sluice.` and dots. */
  readonly name: string;
  readonly help: string;
  /** As OpenTelemetry writes it: `s`, `By`, `{stream}`. */
  readonly unit: string;
  /** Names of its labels. */
  readonly labels: readonly string[];
}

/** A number that only grows (`counter`), or goes up and down. */
export interface NumberInstrument extends Instrument {
  readonly kind: 'counter' | 'gauge';
  readonly read: (snapshot: MonitorSnapshot) => readonly Sample[];
}

/** A distribution. */
export interface HistogramInstrument extends Instrument {
  readonly kind: 'histogram';
  readonly bounds: readonly number[];
  readonly read: (snapshot: MonitorSnapshot) => readonly HistogramSample[];
}

type ReadNumbers = NumberInstrument['read'];

export function counter(
  name: string,
  help: string,
  unit: string,
  labels: string[],
  read: ReadNumbers,
): NumberInstrument {
  return { kind: 'counter', name, help, unit, labels, read };
}

export function gauge(name: string, help: string, unit: string, labels: string[], read: ReadNumbers): NumberInstrument {
  return { kind: 'gauge', name, help, unit, labels, read };
}

export function histogram(
  name: string,
  help: string,
  labels: string[],
  bounds: readonly number[],
  read: HistogramInstrument['read'],
): HistogramInstrument {
  return { kind: 'histogram', name, help, unit: 's', labels, bounds, read };
}

export function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}

export function samples(counts: Counts, label: string): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
