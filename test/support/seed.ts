import fc from 'fast-check';

// The same cases on every run, so that a red run means a change. SLUICE_SEED explores others.
fc.configureGlobal({ seed: Number(process.env['SLUICE_SEED'] ?? 20_240_917) });
