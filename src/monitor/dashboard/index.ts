import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import { type HttpRequest, type HttpResponse, isGone, requestField, requestPath } from '../../internal/http/message.ts';
import { forbidCaching } from '../../internal/writer/answer.ts';
import { type Handler, isAuthorized, makeHandler, unguarded } from '../access.ts';
import { monitorEvents } from '../events.ts';
import { noteOwn } from '../own.ts';
import type { MetricsAnswer } from '../prometheus.ts';
import { perform } from './actions.ts';
import { readJson } from './body.ts';
import { findConnections } from './connections.ts';
import { Files, isFile } from './files.ts';
import { type Refusal, refusalOf, type RouteKind } from './policy/access.ts';
import { type ActionName, actionNames, describeAction, parseAction } from './policy/action.ts';
import { parsePageQuery } from './policy/connection-page.ts';
import { sendJson, sendRefusal, setSecurityHeaders } from './respond.ts';
import type { DashboardSource } from './source.ts';
import { Viewers } from './viewers.ts';

/**
 * Makes the middleware of the dashboard. It answers every request that it gets, and reads its path from `req.url`, as a
 * router leaves it.
 * @param metrics - answers `/metrics`
 */
export function makeDashboard(source: DashboardSource, metrics: MetricsAnswer): Handler {
  const dashboard = new Dashboard(source, metrics);
  return makeHandler('dashboard', (req, res) => dashboard.serve(req, res));
}

const forbidden: Refusal = { status: 403, code: 'forbidden', message: '`authorize` does not allow it.' };

class Dashboard {
  readonly #source: DashboardSource;
  readonly #metrics: MetricsAnswer;
  readonly #files = new Files();
  readonly #viewers: Viewers;

  constructor(source: DashboardSource, metrics: MetricsAnswer) {
    this.#source = source;
    this.#metrics = metrics;
    this.#viewers = new Viewers(source);
  }

  async serve(req: HttpRequest, res: HttpResponse): Promise<void> {
    noteOwn(req);
    setSecurityHeaders(res);
    if (!(await isAuthorized(this.#source.options, req))) {
      sendRefusal(res, this.#source.options.authorize ? forbidden : { ...forbidden, message: unguarded });
      return;
    }
    if (isGone(res)) return;
    const [path = '', search = ''] = (req.url ?? '').split(/\?(.*)/s, 2);
    const refusal = refusalOf(factsOf(req, path));
    if (refusal) sendRefusal(res, refusal);
    else if (path === '/' && !requestPath(req).endsWith('/')) redirect(req, res);
    else if (isFile(path)) await this.#files.send(path, req, res);
    else if (isAction(path)) await this.#act(path.slice(1) as ActionName, req, res);
    else if (path === '/metrics') await this.#metrics.send(res);
    else await this.#sendData(path, search, req, res);
  }

  async #act(name: ActionName, req: HttpRequest, res: HttpResponse): Promise<void> {
    const body = await readJson(req);
    if (!body) return;
    if (!('value' in body)) {
      sendRefusal(res, body);
      return;
    }
    const action = parseAction(name, body.value);
    if (typeof action === 'string') {
      sendRefusal(res, { status: 400, code: 'invalid-body', message: action });
      return;
    }
    // Over HTTP/2 a client that has left has no socket.
    const from = (req.socket as Socket | undefined)?.remoteAddress;
    const result = await perform(action, this.#source.options);
    const code = 'code' in result ? result.code : undefined;
    monitorEvents.action.publish({ ...describeAction(action), req, ok: code === undefined, code, from });
    if ('code' in result) sendRefusal(res, result);
    else sendJson(res, result.status, result.value);
    this.#viewers.refresh();
  }

  async #sendData(path: string, search: string, req: HttpRequest, res: HttpResponse): Promise<void> {
    switch (path) {
      case '/events':
        this.#viewers.open(req, res);
        return;
      case '/connections':
        await this.#sendConnections(search, res);
        return;
      default:
        sendJson(res, 200, this.#source.snapshot());
    }
  }

  async #sendConnections(search: string, res: HttpResponse): Promise<void> {
    const query = parsePageQuery(search);
    if (typeof query === 'string') {
      sendRefusal(res, { status: 400, code: 'invalid-query', message: query });
      return;
    }
    sendJson(res, 200, await findConnections(this.#source.options.registries, query));
  }
}

const dataPaths = ['/events', '/connections', '/snapshot', '/metrics'];

function routeOf(path: string): RouteKind | undefined {
  if (isFile(path)) return 'file';
  if (isAction(path)) return 'action';
  return dataPaths.includes(path) ? 'data' : undefined;
}

function isAction(path: string): boolean {
  return actionNames.some((name) => path === `/${name}`);
}

function factsOf(req: HttpRequest, path: string): Parameters<typeof refusalOf>[0] {
  return {
    method: req.method ?? '',
    route: routeOf(path),
    site: requestField(req, 'sec-fetch-site'),
    origin: requestField(req, 'origin'),
    host: requestField(req, 'host') ?? requestField(req, ':authority'),
    hasMark: requestField(req, 'x-sluice') !== undefined,
    mediaType: mediaTypeOf(requestField(req, 'content-type')),
  };
}

/** The page loads its files by relative paths, so its own path must end in a slash. */
function redirect(req: HttpRequest, res: HttpResponse): void {
  // Relative: a proxy before this process may have another prefix. With a dot: a name with a colon is no scheme.
  const name = requestPath(req).split('/').at(-1) ?? '';
  forbidCaching(res);
  res.statusCode = 308;
  (res as ServerResponse).setHeader('Location', `./${name}/`);
  res.end();
}
