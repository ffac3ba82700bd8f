// @ts-check
import console from 'node:console';
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { runCapacity } from './capacity/run.js';
import ackProbe from './scenarios/ack-probe.js';
import broadcast from './scenarios/broadcast.js';
import channel from './scenarios/channel.js';
import channel5 from './scenarios/channel-5.js';
import codings from './scenarios/codings.js';
import contexts from './scenarios/contexts.js';
import eventStreams from './scenarios/event-streams.js';
import gzipRest from './scenarios/gzip-rest.js';
import gzipStreams from './scenarios/gzip-streams.js';
import heartbeatRegistry from './scenarios/heartbeat-registry.js';
import heartbeats from './scenarios/heartbeats.js';
import identity from './scenarios/identity.js';
import idle from './scenarios/idle.js';
import idleGzip from './scenarios/idle-gzip.js';
import json10k from './scenarios/json-10k.js';
import json10kBest from './scenarios/json-10k-best.js';
import json2k from './scenarios/json-2k.js';
import json2kBest from './scenarios/json-2k-best.js';
import json50k from './scenarios/json-50k.js';
import json50kBest from './scenarios/json-50k-best.js';
import llmStreams from './scenarios/llm-streams.js';
import long from './scenarios/long.js';
import monitor from './scenarios/monitor.js';
import plain10k from './scenarios/plain-10k.js';
import plain2k from './scenarios/plain-2k.js';
import plain50k from './scenarios/plain-50k.js';
import proxy2k from './scenarios/proxy-2k.js';
import proxy64m from './scenarios/proxy-64m.js';
import proxyEvents from './scenarios/proxy-events.js';
import redis from './scenarios/redis.js';
import repeated10k from './scenarios/repeated-10k.js';
import scrape from './scenarios/scrape.js';
import { evaluate, formatTables } from './support/report.js';
import { roundsOf, runScenario } from './support/rounds.js';
import { evaluateRows, formatSummary, forSummary } from './support/summary.js';
import { UsageError } from './support/usage-error.js';

const scenarios = [
  identity,
  eventStreams,
  broadcast,
  idle,
  json2k,
  json10k,
  json50k,
  json2kBest,
  json10kBest,
  json50kBest,
  repeated10k,
  codings,
  plain2k,
  plain10k,
  plain50k,
  contexts,
  monitor,
  scrape,
  long,
  gzipStreams,
  gzipRest,
  llmStreams,
  channel,
  channel5,
  idleGzip,
  heartbeats,
  heartbeatRegistry,
  ackProbe,
  proxy2k,
  proxyEvents,
  proxy64m,
  redis,
];

// In all scenarios together, and three tell a spread.
const summaryRounds = 3;

const usage = `usage: npm run bench -- <scenario> … [--rounds N] [--quick] [--json FILE] [--profile DIR]
       npm run bench -- summary [<scenario> …] [--rounds N] [--quick] [--json FILE] [--beside FILE]
       npm run bench -- capacity [--costs FILE] [--clients N] …

${scenarios.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n')}
`;

/** @param {string[]} args */
function readArguments(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      beside: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const isSummary = positionals[0] === 'summary';
  const names = isSummary ? positionals.slice(1) : positionals;
  const found = names.map((name) => {
    const scenario = scenarios.find((each) => each.name === name);
    if (!scenario) throw new UsageError(`There is no scenario ${name}.`);
    return scenario;
  });
  if (!isSummary && values.beside !== undefined) throw new UsageError('--beside: it belongs to summary.');
  const chosen = isSummary && found.length === 0 ? scenarios.filter(({ rows }) => rows) : found;
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
    throw new UsageError('--rounds: expected a whole number, 1 or more.');
  const { json, beside } = values;
  return { chosen, isSummary, json, beside, options: { rounds, quick: values.quick, profile: values.profile } };
}

function describeMachine() {
  return {
    node: process.version,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
  };
}

/**
 * @param {ReturnType<typeof describeMachine>} machine
 * @param {boolean} quick
 */
function formatMachine({ node, platform, cores, cpu }, quick) {
  return `Node ${node}, ${platform}, ${cores} cores (${cpu ?? 'unknown'})${quick ? ', --quick: for a look, not for a claim' : ''}`;
}

/** @param {ReturnType<typeof readArguments>} arguments_ */
async function summarise({ chosen, json, beside, options: given }) {
  const machine = describeMachine();
  const options = { ...given, rounds: given.rounds ?? (given.quick ? undefined : summaryRounds) };
  console.error(formatMachine(machine, options.quick));
  const major = Number(process.versions.node.split('.', 1)[0]);
  const rows = [];
  for (const scenario of chosen.map(forSummary)) {
    try {
      rows.push(...evaluateRows(scenario, await runScenario(scenario, options, (text) => console.error(text)), major));
    } catch (error) {
      // The others took long. They are printed, and the exit code tells.
      console.error(error);
      process.exitCode = 1;
    }
  }
  const summary = { ...machine, quick: options.quick, rows };
  if (json !== undefined) await writeFile(json, `${JSON.stringify(summary, undefined, 2)}\n`);
  const other = beside === undefined ? [] : [JSON.parse(await readFile(beside, 'utf8'))];
  console.log(formatSummary([...other, summary]));
}

/** @param {ReturnType<typeof readArguments>} arguments_ */
async function run({ chosen, json, options }) {
  const machine = describeMachine();
  console.log(formatMachine(machine, options.quick));
  const results = [];
  for (const scenario of chosen) {
    const rounds = roundsOf(scenario, options);
    const samples = await runScenario(scenario, options, (text) => console.error(text));
    const evaluation = evaluate(scenario, samples);
    console.log(formatTables(evaluation, rounds));
    results.push({ ...evaluation, rounds });
  }
  if (json !== undefined)
    await writeFile(json, `${JSON.stringify({ ...machine, quick: options.quick, results }, undefined, 2)}\n`);
}

/** @param {ReturnType<typeof readArguments>} request */
async function start(request) {
  if (request.chosen.length === 0) console.log(usage);
  else if (request.isSummary) await summarise(request);
  else await run(request);
}

try {
  const [first, ...rest] = process.argv.slice(2);
  if (first === 'capacity') await runCapacity(rest);
  else await start(readArguments(process.argv.slice(2)));
} catch (error) {
  const misused =
    error instanceof UsageError || String(/** @type {{ code?: unknown }} */ (error).code).startsWith('ERR_PARSE_ARGS');
  console.error(misused ? `${/** @type {Error} */ (error).message}\n\n${usage}` : error);
  process.exitCode = misused ? 2 : 1;
}
