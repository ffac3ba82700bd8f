// @ts-check
import { Buffer } from 'node:buffer';
import { open, stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';

const chunkSize = 64 * 1024;

/** Reads the lines of one open file, from a position to wherever it ends at the moment. */
export class LineReader {
  #file;
  #position;
  #buffer = Buffer.allocUnsafe(chunkSize);
  #decoder = new StringDecoder('utf8');
  /** The line that has no end yet. */
  #rest = '';

  /**
   * @param {import('node:fs/promises').FileHandle} file
   * @param {number} position
   */
  constructor(file, position) {
    this.#file = file;
    this.#position = position;
  }

  /**
   * @param {string} path
   * @param {{ lastLines?: number }} [options] - `lastLines`: how many lines before the end to start at; without it, the
   * file's start
   */
  static async open(path, { lastLines } = {}) {
    const file = await open(path);
    try {
      return new LineReader(file, lastLines === undefined ? 0 : await startOfLastLines(file, lastLines));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * The lines of the next piece of the file, or `undefined` at its end. A line counts when it is complete.
   *
   * @returns {Promise<string[] | undefined>}
   */
  async read() {
    const { bytesRead } = await this.#file.read(this.#buffer, 0, chunkSize, this.#position);
    if (bytesRead === 0) return undefined;
    this.#position += bytesRead;
    const lines = (this.#rest + this.#decoder.write(this.#buffer.subarray(0, bytesRead))).split('\n');
    this.#rest = lines.pop() ?? '';
    // A file that is no text has no lines: memory must not depend on that.
    if (this.#rest.length > chunkSize) {
      lines.push(this.#rest);
      this.#rest = '';
    }
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  /**
   * What has become of the file under this path. Truncation shows only while the file is shorter than what was read.
   *
   * @param {string} path
   * @returns {Promise<'same' | 'truncated' | 'rotated'>}
   */
  async compare(path) {
    const [mine, current] = await Promise.all([this.#file.stat(), statIfThere(path)]);
    // Moved away and not yet replaced: there may still be writers to the old one.
    if (!current) return 'same';
    if (current.ino !== mine.ino || current.dev !== mine.dev) return 'rotated';
    return current.size < this.#position ? 'truncated' : 'same';
  }

  /** Starts again at the beginning of the file. */
  rewind() {
    this.#position = 0;
    this.#rest = '';
    this.#decoder = new StringDecoder('utf8');
  }

  close() {
    return this.#file.close();
  }
}

/**
 * Looks back over one chunk at most: enough to show something, whatever the file's size.
 *
 * @param {import('node:fs/promises').FileHandle} file
 * @param {number} count
 */
async function startOfLastLines(file, count) {
  const { size } = await file.stat();
  const start = Math.max(0, size - chunkSize);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(chunkSize), 0, chunkSize, start);
  // Latin-1 has one character per byte, so that lengths are offsets.
  const pieces = buffer.toString('latin1', 0, bytesRead).split('\n');
  // What a chunk from the middle of the file starts with is a part of a line.
  if (start > 0) pieces.shift();
  // One more than the lines: what follows the last newline.
  const tail = pieces.slice(-count - 1).join('\n');
  return start + bytesRead - tail.length;
}

/** @param {string} path */
async function statIfThere(path) {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** @param {unknown} error */
export function isMissing(error) {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
