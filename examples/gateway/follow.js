// @ts-check
import console from 'node:console';
import { setTimeout as sleep } from 'node:timers/promises';
import { ndjson } from 'sluice';
import { isMissing, LineReader } from './line-reader.js';

const lastLines = 20;
// Asked for and not watched: file systems that are mounted from elsewhere do not report changes, so a watcher would
// need this beside it.
const pollInterval = 250;

/** @typedef {{ line: string } | { notice: 'truncated' | 'rotated' }} FollowRecord */

/**
 * `GET /follow`: the last lines of the file, then those that are appended. Without a file: 404.
 *
 * @param {string | undefined} path
 * @returns {import('express').RequestHandler}
 */
export function follow(path) {
  if (path === undefined) {
    return (_req, res) => {
      res.status(404).json({ error: 'No file is followed: start the server with the name of one' });
    };
  }
  return ndjson((stream) => followFile(path, stream.signal), {
    // The file goes on when this process does not: an end would say that it does not.
    drain: 'resumable',
    onError: (error) => console.error(`Following ${path} failed:`, error),
  });
}

/**
 * Reads on only when the next record is asked for. Ends, and lets go of the file, when the signal aborts.
 *
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<FollowRecord, void>}
 */
async function* followFile(path, signal) {
  let reader = await openWhenThere(path, signal, { lastLines });
  try {
    for (;;) {
      yield* readToEnd(reader);
      const change = await reader.compare(path);
      switch (change) {
        case 'same':
          await sleep(pollInterval, undefined, { signal });
          break;
        case 'truncated':
          reader.rewind();
          yield { notice: change };
          break;
        case 'rotated':
          // Written to the old file between its end and the look at the new one.
          yield* readToEnd(reader);
          await reader.close();
          reader = await openWhenThere(path, signal);
          yield { notice: change };
      }
    }
  } finally {
    await reader.close();
  }
}

/**
 * @param {LineReader} reader
 * @returns {AsyncGenerator<FollowRecord, void>}
 */
async function* readToEnd(reader) {
  for (let lines = await reader.read(); lines; lines = await reader.read()) {
    for (const line of lines) yield { line };
  }
}

/**
 * Rotation leaves moments without a file.
 *
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {{ lastLines?: number }} [options]
 */
async function openWhenThere(path, signal, options) {
  for (;;) {
    try {
      return await LineReader.open(path, options);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await sleep(pollInterval, undefined, { signal });
  }
}
