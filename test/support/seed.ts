import fc from 'fast-check';
import { expect, vi } from 'vitest';

// The same cases on every run, so that a red run means a change. SLUICE_SEED explores others.
const seed = process.env['SLUICE_SUITE'] === 'newest' ? 20_240_918 : 20_240_917;
fc.configureGlobal({ seed: Number(process.env['SLUICE_SEED'] ?? seed) });

// Properties have much to compute in one go, for a machine that is slow and has other things to do.
if (expect.getState().testPath?.includes('/test/property/')) vi.setConfig({ testTimeout: 180_000 });
