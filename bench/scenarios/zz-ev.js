import ev from './proxy-events.js';
const mk = (make) => () => { let handler; return { app: (req, res) => handler(req, res), calls: { async connect(port) { handler = await make(port); } } }; };
const min = async (port) => {
  const { Pool } = await import('undici');
  const pool = new Pool(`http://127.0.0.1:${port}`, { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  return (req, res) => pool.dispatch({ path: req.url, method: req.method, headers: req.rawHeaders, body: null }, {
    onRequestStart() {},
    onResponseStart() { res.writeHead(200, { 'Content-Type': 'text/event-stream' }); res.flushHeaders(); this.socket = res.socket; },
    onResponseData(c, bytes) { const size = bytes.length.toString(16); const start = size.length + 2; const end = start + bytes.length; const f = Buffer.allocUnsafe(end + 2); for (let i = 0; i < size.length; i++) f[i] = size.charCodeAt(i); f[start - 2] = f[end] = 13; f[start - 1] = f[end + 1] = 10; f.set(bytes, start); this.socket.write(f); },
    onResponseEnd() { res.end(); },
    onResponseError(c, e) { throw e; },
  });
};
export default { ...ev, name: 'zz-ev', peers: [...ev.peers, { name: 'x', title: 'x', serve: mk(min) }] };
