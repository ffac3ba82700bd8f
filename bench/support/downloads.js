// @ts-check
import { Child } from './child.js';
import { makeLog } from './log-text.js';

/**
 * Downloads of `/log`, one at a time.
 * @param {Child} server
 * @param {{ megabytes: number, coding: string, quick: boolean }} options - coding: of the bodies
 * @returns {Promise<import('./rounds.js').Bench>}
 */
export async function openDownloads(server, { megabytes, coding, quick }) {
  const clients = new Child('clients', 'download-clients.js');
  const port = await server.call('port');
  const expected = makeLog(megabytes * 1024 * 1024).digest();
  const download = async () => {
    const { seconds, digest, coding: given, body } = await clients.call('download', port);
    if (given !== coding || digest !== expected) throw new Error(`a body in ${given} that is not what was sent`);
    return { seconds, body };
  };
  try {
    for (let warmUp = 0; warmUp < (quick ? 1 : 3); warmUp++) await download();
  } catch (error) {
    await clients.stop();
    throw error;
  }
  return {
    async measure() {
      const cpuBefore = await server.call('cpu');
      const { seconds, body } = await download();
      const cpu = await server.call('cpu');
      return { rate: megabytes / seconds, cpu: (cpu - cpuBefore) / 1000 / megabytes, body: body / 1024 / megabytes };
    },
    close: () => clients.stop(),
  };
}
