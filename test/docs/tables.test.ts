import { describe, expect, it } from 'vitest';
import { histogramInstruments, numberInstruments } from '../../src/monitor/instruments.ts';
import { readPage } from '../support/docs.ts';
import { membersOf, sectionOf, tablesOf, unionOf } from '../support/page-tables.ts';

// The tables of the pages list what the source has, and nothing else.

function rows(page: string, section: string, head: string): string[] | undefined {
  return tablesOf(sectionOf(`docs/${page}.md`, section))
    .get(head)
    ?.toSorted();
}

const within = (owner: string, members: readonly string[]): string[] => members.map((name) => `${owner}.${name}`);

describe('docs/compress.md', () => {
  it('has a row for each option', () => {
    const grouped = ['streams', 'budget'];
    const options = [...membersOf('CompressOptions'), ...membersOf('CompressionProfile')];
    expect(rows('compress', 'Options', 'option')).toEqual(
      [
        ...options.filter((name) => !grouped.includes(name)),
        ...within('streams', membersOf('StreamCompressionOptions')),
        ...within('budget', membersOf('BudgetOptions')),
      ].toSorted(),
    );
    expect(rows('compress', 'The governor', 'option')).toEqual(membersOf('GovernorOptions'));
    expect(rows('compress', '`webCodec`', 'option')).toEqual(membersOf('WebCodecOptions'));
  });

  it('has a row for each reason', () => {
    const reasons = [...unionOf('IdentityReason'), ...unionOf('NegotiationReason')];
    const late = ['no-gain', 'codec-failed'];
    expect(rows('compress', 'Why is this not compressed?', 'reason')).toEqual(
      [...new Set([...reasons, ...late])].filter((reason) => reason !== 'negotiated').toSorted(),
    );
  });

  it('has a row for each member of the middleware, of a switch and of a codec', () => {
    expect(rows('compress', 'Options', 'member of the middleware')).toEqual(membersOf('Compression'));
    expect(rows('compress', 'The switch', 'member')).toEqual(
      [...membersOf('CompressionSwitch'), ...membersOf('SwitchState')].toSorted(),
    );
    expect(rows('compress', 'Your own codec', 'member')).toEqual(membersOf('Codec'));
  });
});

describe('docs/client.md', () => {
  it('has a row for each option, each member and each state', () => {
    const options = membersOf('ClientOptions').filter((name) => name !== 'retry');
    expect(rows('client', 'Options', 'option')).toEqual(
      [...options, ...within('retry', membersOf('ClientRetryOptions'))].toSorted(),
    );
    expect(rows('client', 'The connection', 'member')).toEqual(membersOf('EventConnection'));
    expect(rows('client', 'The connection', 'state')).toEqual(unionOf('ClientState'));
    expect(rows('client', 'Events', 'member')).toEqual(membersOf('ClientEvent'));
    for (const mode of unionOf('ReconnectMode')) expect(readPage('docs/client.md')).toContain(`\`'${mode}'\``);
  });
});

describe('docs/deadline.md', () => {
  it('has a row for each option', () => {
    expect(rows('deadline', 'Options', 'option')).toEqual(membersOf('DeadlineOptions'));
    expect(rows('deadline', 'Passing it on', 'option of all three')).toEqual(membersOf('PropagateOptions'));
    for (const field of unionOf('TimeoutField'))
      expect(sectionOf('docs/deadline.md', 'Passing it on')).toContain(field);
  });

  it('has a row for each header and for each member of a context', () => {
    expect(rows('deadline', 'Headers', 'request header')).toEqual(unionOf('DeadlineSource'));
    expect(rows('deadline', 'The context', 'member')).toEqual(membersOf('RequestContext'));
  });
});

describe('docs/lifecycle.md', () => {
  it('has a row for each option and for each member', () => {
    expect(rows('lifecycle', 'Options', 'option')).toEqual(membersOf('LifecycleOptions'));
    const members = rows('lifecycle', 'The lifecycle', 'member');
    expect(members?.filter((name) => name !== 'req')).toEqual(membersOf('Lifecycle'));
  });

  it('has a row for each field of the report', () => {
    const fields = tablesOf(sectionOf('docs/lifecycle.md', 'The report')).get('field');
    expect([...new Set(fields!.map((name) => name.split('.')[0]!))].toSorted()).toEqual(
      [...membersOf('DrainReport'), 'streams', 'webSockets', 'holds'].toSorted(),
    );
    expect(rows('lifecycle', 'The report', 'in `untold`')).toEqual(
      [...unionOf('UntoldReason'), ...unionOf('FiniteReason')].toSorted(),
    );
  });
});

describe('docs/channel.md', () => {
  it('has a row for each option, each reason of a reset and each member', () => {
    expect(rows('channel', 'Options', 'option of `createChannel`')).toEqual(membersOf('ChannelOptions'));
    expect(rows('channel', 'Options', 'option of `subscribe`')).toEqual(membersOf('SubscribeOptions'));
    expect(rows('channel', 'Publish', 'option of `publish`')).toEqual(membersOf('PublishOptions'));
    expect(rows('channel', 'Reset', 'reason')).toEqual(unionOf('ResetReason'));
    expect(rows('channel', 'The channel', 'member')).toEqual(membersOf('Channel'));
  });

  it('has a row for each option, each format and each end of an answer', () => {
    expect(rows('channel', 'Answers', 'member')).toEqual(membersOf('Resumable'));
    expect(rows('channel', 'Answers', 'option of `resumable`')).toEqual(membersOf('ResumableOptions'));
    expect(rows('channel', 'Answers', '`status`')).toEqual(unionOf('RunStatus'));
    expect(rows('channel', 'Answers', '`format`')).toEqual(['openai', 'sse', 'ui-message']);
  });
});

describe('docs/redis.md', () => {
  it('has a row for each option', () => {
    expect(rows('redis', 'Options', 'option')).toEqual(membersOf('RedisBackplaneOptions'));
    expect(rows('redis', 'A switch for all instances', 'option')).toEqual(membersOf('RedisSwitchOptions'));
  });

  it('has a row for each member of a switch', () => {
    expect(rows('redis', 'A switch for all instances', 'member')).toEqual(
      [
        ...new Set([...membersOf('RedisSwitch'), ...membersOf('CompressionSwitch'), ...membersOf('SwitchState')]),
      ].toSorted(),
    );
  });
});

describe('docs/proxy.md', () => {
  it('has a row for each option', () => {
    expect(rows('proxy', 'Options', 'option')).toEqual(membersOf('ProxyOptions'));
    expect(rows('proxy', 'TLS', 'field')).toEqual(membersOf('UpstreamTls'));
    expect(rows('proxy', 'Timeouts', 'option of `timeouts`')).toEqual(membersOf('ProxyTimeouts'));
    expect(rows('proxy', 'Retries', 'option of `retry`')).toEqual(membersOf('RetryOptions'));
    expect(rows('proxy', 'Upstreams', 'option of `outlier`')).toEqual(membersOf('OutlierOptions'));
    expect(rows('proxy', 'Upstreams', 'option of `health`')).toEqual(membersOf('ProbeOptions'));
    expect(rows('proxy', 'Count the tokens of a language model', 'option of `drain`')).toEqual(
      membersOf('DrainUpstreamOptions'),
    );
  });

  it('has a row for each member of the middleware, of its statistics and of a canary', () => {
    expect(rows('proxy', 'Members', 'member of the middleware')).toEqual(membersOf('Proxy'));
    expect(rows('proxy', 'Upstreams', 'of each of `upstreams()`')).toEqual(membersOf('UpstreamStats'));
    const canary = 'Send a share of the clients to a new version';
    expect(rows('proxy', canary, 'member')).toEqual(membersOf('Canary'));
    expect(rows('proxy', canary, 'option of `createCanary`')).toEqual(membersOf('CanaryOptions'));
    expect(rows('proxy', canary, 'condition of a rule')).toEqual(
      membersOf('CanaryRule').filter((name) => name !== 'arm'),
    );
  });
});

describe('docs/monitor.md', () => {
  it('has a row for each option, member and number', () => {
    expect(rows('monitor', 'Options', 'option')).toEqual(membersOf('MonitorOptions'));
    const members = rows('monitor', 'Options', 'member of the middleware')?.map((name) => name.replace(/\(.*/, ''));
    expect(members?.toSorted()).toEqual(membersOf('Monitor'));
    const shown = rows('monitor', 'The numbers', 'member');
    expect(shown).toEqual(membersOf('MonitorSnapshot'));
    expect(rows('monitor', 'Alerts', 'alert')).toEqual(membersOf('AlertsOptions'));
  });

  it('has a row for each metric', () => {
    const names = [
      ...numberInstruments.map(({ kind, name }) => `sluice_${name}${kind === 'counter' ? '_total' : ''}`),
      ...histogramInstruments.map(({ name }) => `sluice_${name}`),
    ];
    expect(rows('monitor', 'Prometheus', 'metric')).toEqual(names.toSorted());
  });
});
