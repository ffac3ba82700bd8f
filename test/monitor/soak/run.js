// node test/monitor/soak/run.js --clients 2000 --seconds 600 --waves 20 --seed 1
import { parseArgs } from 'node:util';
import { soak } from './soak.js';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '600' },
    waves: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
});
const { clients, seconds, waves, seed } = values;
const { faults } = await soak({
  clients: Number(clients),
  seconds: Number(seconds),
  waves: Number(waves),
  seed: Number(seed),
  onWave: (row) => console.log(JSON.stringify(row)),
});
console.log(faults.length === 0 ? 'no fault' : faults.join('\n'));
process.exitCode = faults.length === 0 ? 0 : 1;
