// @ts-check
import express from 'express';
import { compress, createSwitch, redisSwitch } from 'sluice';
import { requireSameOrigin } from './same-origin.js';

/**
 * @typedef {object} CompressionState
 * @property {boolean} enabled
 * @property {number} version - how often it was changed
 * @property {number} tier - the governor's: 0 hardly loaded, 3 nothing new is compressed
 * @property {number} load - that decides the tier: 0 idle, 1 saturated
 */

// What the machine is busy with beside this server is load to the governor, too: `GOVERNOR=off npm start` compresses
// whatever the load.
const governor = process.env['GOVERNOR'] === 'off' ? undefined : {};

// Servers with the same Redis are switched together.
const url = process.env['REDIS_URL'];
const shared = url ? redisSwitch({ url, name: 'gateway', profiles: { gateway: {} } }) : undefined;

/**
 * One for everything that this server sends. Event streams that are open follow its switch, and the load of this
 * process.
 */
export function createCompression() {
  return compress({ switch: shared ?? createSwitch({ name: 'gateway' }), governor, live: true, serverTiming: true });
}

/** @param {import('sluice').Compression} compression */
export function closeCompression(compression) {
  compression.close();
  shared?.close();
}

/**
 * @param {import('sluice').Compression} compression
 * @returns {CompressionState}
 */
export function describeCompression({ switch: { current }, governor }) {
  return {
    enabled: current.enabled,
    version: current.version,
    tier: governor?.tier ?? 0,
    load: Math.round((governor?.load ?? 0) * 100) / 100,
  };
}

/**
 * `POST /compression` with `{"enabled": true}` or `{"enabled": false}`. Which of the two, and not merely the other one:
 * of two people who switch it off at the same time, neither switches it on. What came of it is an event of `/metrics`.
 *
 * @param {import('sluice').Compression} compression
 * @returns {import('express').RequestHandler[]}
 */
export function setCompression(compression) {
  /**
   * @param {import('express').Request} req
   * @param {import('express').Response} res
   */
  async function handler(req, res) {
    const { enabled } = /** @type {{ enabled?: unknown }} */ (req.body ?? {});
    if (typeof enabled !== 'boolean') {
      res.status(400).json({ error: 'Expected {"enabled": true} or {"enabled": false}, as application/json' });
      return;
    }
    // Of a shared switch both give a promise.
    const { switch: control } = /** @type {{ switch: { enable(): unknown, disable(): unknown } }} */ (compression);
    await (enabled ? control.enable() : control.disable());
    res.status(204).end();
  }
  return [requireSameOrigin, express.json({ limit: '1kb' }), handler];
}
