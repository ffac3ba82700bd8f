// Adds up checks and test reports into the closing line. Exit code 1 if anything failed, was skipped or never ran.
import { readFileSync } from 'node:fs';

/** @typedef {{ numTotalTests: number, numPassedTests: number, numFailedTests: number, numPendingTests: number, numTodoTests: number, testResults: { status: string, assertionResults: unknown[] }[] }} Report */

const [passedChecks, failedChecks, ...reports] = process.argv.slice(2);
const total = { passed: Number(passedChecks), failed: Number(failedChecks), skipped: 0 };

for (const file of reports) {
  try {
    /** @type {Report} */
    const report = JSON.parse(readFileSync(file, 'utf8'));
    if (report.numTotalTests === 0) throw new Error('no test ran');
    total.passed += report.numPassedTests;
    // A file that does not load has no tests to fail.
    const broken = report.testResults.filter((each) => each.status === 'failed' && each.assertionResults.length === 0);
    total.failed += report.numFailedTests + broken.length;
    total.skipped += report.numPendingTests + report.numTodoTests;
  } catch (error) {
    console.error(`${file}: ${String(error)}`);
    total.failed += 1;
  }
}

console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.skipped === 0 ? 0 : 1;
