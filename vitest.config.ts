import { relative } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// A report for machines, beside what is printed: SLUICE_REPORT names the file.
const report = process.env['SLUICE_REPORT'];

// Tests that count what the whole process has (handles, listeners, memory, warnings given once), or that change it
// (signals, prototypes of Node): each of these files has a process of its own. All others share a few processes.
const alone = [
  'test/{browser,context,docs,lint,upstream}/**/*.test.ts',
  'test/**/docs.test.ts',
  'test/faults/*.test.ts',
  'test/deadline/{context,leaks,middleware}.test.ts',
  'test/internal/{events,left-behind}.test.ts',
  'test/internal/seam/lifetime.test.ts',
  'test/compress/control/{governor,load}.test.ts',
  'test/heartbeat/{encoded-stream,half-open,netns,slow-readers,stopped-readers,weight}.test.ts',
  'test/lifecycle/{lifecycle,sigterm,watch}.test.ts',
  'test/body/wait-writable.test.ts',
  'test/regression/foreign-hands.test.ts',
];

// Tests of pure sources: no sockets, no state of the process. One version of Node is enough.
const pure = [
  'test/**/{policy,format}/**/*.test.ts',
  'test/internal/{http,time}/*.test.ts',
  'test/internal/health/connection.test.ts',
  'test/client/{connection,event-reader,options}.test.ts',
  'test/property/{accept,context,events,heartbeat-boundary,heartbeat-frame,negotiate,tier}.test.ts',
];

// The networks that lose packets are the kernel's work: one version of Node is enough.
const kernel = ['test/heartbeat/{half-open,netns}.test.ts', 'test/redis/dark.test.ts'];

// What takes minutes and asks more of the sources, of clients or of other packages than of Node: half of it runs on the
// oldest version, half on the newest.
const independent = {
  oldest: [
    'test/{browser,interop,lint}/**',
    'test/heartbeat/{docs,slow-readers,weight}.test.ts',
    'test/channel/memory.test.ts',
    'test/faults/{soak,starvation}.test.ts',
    'test/{monitor,proxy}/soak.test.ts',
    'test/observability/**',
    'test/redis/cluster.test.ts',
  ],
  newest: [
    'test/{clients,compose,docs,nats}/**',
    'test/{compress,context,deadline,lifecycle}/docs.test.ts',
    'test/faults/{compress-aborts,compress-backpressure}.test.ts',
    'test/deadline/leaks.test.ts',
    'test/heartbeat/stopped-readers.test.ts',
    'test/property/channel.test.ts',
    'test/redis/faults.test.ts',
  ],
};

/** What SLUICE_SUITE leaves out. Without it everything runs. */
const leftOut: Record<string, string[]> = {
  oldest: independent.newest,
  newest: [...pure, ...kernel, ...independent.oldest],
  between: [...pure, ...kernel, ...independent.oldest, ...independent.newest, 'test/property/**'],
};

const suite = process.env['SLUICE_SUITE'];
const exclude = (suite && leftOut[suite]) || [];

// Files that wait for long, or compute for long: they start first, so that none of them is the last.
const first = ['heartbeat/half-open', 'browser/gateway', 'faults/', 'deadline/', 'lifecycle/', 'heartbeat/'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = first.findIndex((each) => relative('test', moduleId).startsWith(each));
      return at < 0 ? first.length : at;
    };
    const sorted = await super.sort(files);
    return sorted.toSorted(
      (a, b) => Number(a.project.name === 'shared') - Number(b.project.name === 'shared') || rank(a) - rank(b),
    );
  }
}

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'alone', include: alone, exclude } },
      {
        extends: true,
        test: { name: 'shared', include: ['test/**/*.test.ts'], exclude: [...alone, ...exclude], isolate: false },
      },
    ],
    sequence: { sequencer: LongestFirst },
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/seed.ts'],
    pool: 'forks',
    // Many tests wait for most of their time.
    maxWorkers: Number(process.env['SLUICE_WORKERS'] ?? 3),
    testTimeout: 150_000,
    hookTimeout: 150_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
