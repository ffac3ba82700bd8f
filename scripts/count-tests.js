// Adds up checks and test reports into the closing line, below the names of the tests that did not pass. Exit code 1 if
// anything failed, was skipped or never ran.
import { readFileSync } from 'node:fs';
import { basename, relative } from 'node:path';

/** @typedef {{ name: string, status: string, assertionResults: { fullName: string, status: string }[] }} TestFile */
/**
 * @typedef {{ numTotalTests: number, numPassedTests: number, numFailedTests: number, numPendingTests: number,
 * numTodoTests: number, testResults: TestFile[] }} Report
 */

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
    for (const { name, assertionResults } of report.testResults) {
      for (const test of assertionResults) {
        if (test.status !== 'passed')
          console.log(`*** ${basename(file, '.json')}: ${relative('.', name)}: ${test.fullName}: ${test.status}`);
      }
    }
  } catch (error) {
    console.error(`${file}: ${String(error)}`);
    total.failed += 1;
  }
}

console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.skipped === 0 ? 0 : 1;
