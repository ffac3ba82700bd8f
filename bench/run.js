// @ts-check
import console from 'node:console';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import process from 'node:process';
import { parseArgs } from 'node:util';
import ackProbe from './scenarios/ack-probe.js';
import broadcast from './scenarios/broadcast.js';
import codings from './scenarios/codings.js';
import contexts from './scenarios/contexts.js';
import eventStreams from './scenarios/event-streams.js';
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
import repeated10k from './scenarios/repeated-10k.js';
import { evaluate, formatTables } from './support/report.js';
import { roundsOf, runScenario } from './support/rounds.js';

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
  long,
  gzipStreams,
  llmStreams,
  idleGzip,
  heartbeats,
  heartbeatRegistry,
  ackProbe,
  proxy2k,
  proxyEvents,
  proxy64m,
];

const usage = `usage: npm run bench -- <scenario> … [--rounds N] [--quick] [--json FILE] [--profile DIR]

${scenarios.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n')}
`;

class UsageError extends Error {}

/** @param {string[]} args */
function readArguments(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const chosen = positionals.map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name);
    if (!found) throw new UsageError(`There is no scenario ${name}.`);
    return found;
  });
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
    throw new UsageError('--rounds: expected a whole number, 1 or more.');
  return { chosen, json: values.json, options: { rounds, quick: values.quick, profile: values.profile } };
}

/** @param {ReturnType<typeof readArguments>} arguments_ */
async function run({ chosen, json, options }) {
  const machine = {
    node: process.version,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
  };
  console.log(
    `Node ${machine.node}, ${machine.platform}, ${machine.cores} cores (${machine.cpu ?? 'unknown'})${options.quick ? ', --quick: for a look, not for a claim' : ''}`,
  );
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

try {
  const request = readArguments(process.argv.slice(2));
  if (request.chosen.length === 0) console.log(usage);
  else await run(request);
} catch (error) {
  const misused =
    error instanceof UsageError || String(/** @type {{ code?: unknown }} */ (error).code).startsWith('ERR_PARSE_ARGS');
  console.error(misused ? `${/** @type {Error} */ (error).message}\n\n${usage}` : error);
  process.exitCode = misused ? 2 : 1;
}
