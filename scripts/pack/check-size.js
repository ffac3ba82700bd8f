// What a page loads of the client, bundled and minified, in bytes after gzip; and that nothing of Node is in it.
//
// node check-size.js <bundle> <limit in bytes>
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const [file = '', limit = ''] = process.argv.slice(2);
const bundle = readFileSync(file, 'utf8');
const size = gzipSync(bundle, { level: 9 }).length;
console.log(`${bundle.length} characters, ${size} bytes with gzip`);
if (size >= Number(limit)) fail(`That is not less than ${limit} bytes.`);
const ofNode = /["']node:|\brequire\(|\bprocess\.|\bBuffer\b/.exec(bundle);
if (ofNode) fail(`It has ${ofNode[0]} in it.`);

/** @param {string} problem */
function fail(problem) {
  console.error(problem);
  process.exitCode = 1;
}
