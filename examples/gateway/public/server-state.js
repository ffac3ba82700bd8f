const streamTexts = { connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', gone: 'Still trying' };
const processTexts = {
  unknown: 'Not known yet',
  active: 'Serving',
  draining: 'Draining: streams move to the next process',
  dead: 'Drained',
  drained: 'Drained',
  lost: 'No answer',
};
const reasons = {
  drained: 'The server shut down gracefully: it asked this page to come back, then closed the stream.',
  lost: 'The server does not answer.',
};

/**
 * What can be said of the server. Without a stream that is no more than what it said last, and that it is old.
 *
 * @param {object} known
 * @param {'connecting' | 'live' | 'reconnecting' | 'gone'} known.stream
 * @param {'active' | 'draining' | 'dead' | undefined} known.said - by the server, of itself; `undefined`: nothing yet
 * @returns {{ stream: string, streamText: string, process: string, processText: string, isOld: boolean, reason: string }}
 */
export function describeServer({ stream, said }) {
  const process = processState(stream, said);
  const isOld = said !== undefined && stream !== 'live';
  return {
    stream,
    streamText: streamTexts[stream],
    process,
    processText: processTexts[process],
    isOld,
    reason: isOld ? reasons[process] : '',
  };
}

function processState(stream, said) {
  if (stream === 'live') return said ?? 'unknown';
  if (said === undefined) return stream === 'connecting' ? 'unknown' : 'lost';
  return said === 'active' ? 'lost' : 'drained';
}
