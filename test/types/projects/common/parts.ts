// What is written in every kind of project: the other parts, and the diagnostics channels.
import { type CloseReason, compress, contextOf, type DiagnosticsMessages, type Governor, subscribe } from 'sluice';
import { compress as alone } from 'sluice/compress';
import { same } from './same.js';

// The governor is there where one is asked for.
compress({ governor: {} }).governor.on('tier', ({ tier, load }) => void [tier, load]);
compress({ governor: { dwell: '5s' }, level: 6 }).governor.close();
declare const governor: Governor;
same<Governor>()(compress({ governor }).governor);
same<Governor>()(alone({ governor: {} }).governor);
same<Governor | undefined>()(compress().governor);
same<Governor | undefined>()(compress({ level: 6 }).governor);
// @ts-expect-error there may be none
compress().governor.on('tier', () => undefined);
// @ts-expect-error there is no such option
compress({ levels: 6 });
// @ts-expect-error there is no such option of a governor
compress({ governor: { dwel: '5s' } });
declare const config: { level?: number; threshold?: string };
compress({ level: config.level, threshold: config.threshold, filter: undefined });

// Messages have the type of their channel.
subscribe('sluice:stream:close', ({ req, res, reason }) => {
  same<CloseReason>()(reason);
  void [req.method, req.url, req.headers.accept, res.statusCode, contextOf(req).remaining()];
});
subscribe('sluice:stream:error', ({ req, error }) => void [req?.url, error.code, error.message]);
subscribe('sluice:compress:decision', ({ coding, tier }) => void [coding.length, tier]);
subscribe('sluice:lifecycle:drain', (report) => void report.duration);
const undo: () => void = subscribe('sluice:heartbeat:end', ({ connection }) => void connection.remoteAddress);
undo();
declare const message: DiagnosticsMessages['sluice:deadline:late'];
void message.method;
// @ts-expect-error there is no such channel
subscribe('sluice:stream:closed', () => undefined);
// @ts-expect-error such a message has no coding
subscribe('sluice:stream:close', ({ coding }) => void coding);
