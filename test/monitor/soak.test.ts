import { expect, it } from 'vitest';
import { soak } from './soak/soak.js';

it('knows why each of its clients left, and keeps nothing of them', { timeout: 600_000 }, async () => {
  const { rows, faults } = await soak({ clients: 200, seconds: 6, waves: 3 });
  expect(faults).toEqual([]);
  expect(rows.map(({ visits }) => visits >= 200)).toEqual([true, true, true]);
  expect(rows.at(-1)).toMatchObject({ errors: {}, connections: 10 });
});
