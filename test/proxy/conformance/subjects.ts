import { fileURLToPath } from 'node:url';
import type { Subject } from './subject-process.ts';

export const sluice: Subject = {
  name: 'sluice',
  program: fileURLToPath(new URL('subjects/sluice.js', import.meta.url)),
  fronts: ['http1', 'h2c'],
  canUpgrade: true,
};
