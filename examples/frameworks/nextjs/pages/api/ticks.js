/** An event stream that Next.js sends: it arrives event by event, compressed, with heartbeats. */
export default function handler(req, res) {
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  let count = 0;
  const timer = setInterval(() => res.write(`id: ${++count}\ndata: ${count}\n\n`), 1000);
  res.on('close', () => clearInterval(timer));
}
