import { ProxyError } from '../../errors.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import { isGone } from '../../internal/http/message.ts';
import { proxyEvents } from '../events.ts';
import { type Destination, Exchange } from './exchange.ts';
import { answerFailure, type Incoming } from './failure-answer.ts';
import { answerAtLastHop } from './last-hop.ts';
import type { NamedRoute, Route } from '../options.ts';
import { readTargets } from '../read-options.ts';
import type { ProxyState } from './state.ts';
import { isTransportLoaded, loadTransport } from '../upstream/transport.ts';
import type { UpgradeRequest } from './tunnel.ts';

/** Passes a request on, unless it ends here. At once, unless its route has to be asked or the transport be loaded. */
export function dispatch(state: ProxyState, incoming: Incoming, upgrade: UpgradeRequest | undefined): void {
  const { target } = state.options;
  if (answerAtLastHop(state.options, incoming)) return;
  if (target && isTransportLoaded())
    begin(state, incoming, { targets: target, arm: undefined, counts: undefined, upgrade });
  else void dispatchLater(state, incoming, upgrade);
}

async function dispatchLater(
  state: ProxyState,
  incoming: Incoming,
  upgrade: UpgradeRequest | undefined,
): Promise<void> {
  try {
    if (!isTransportLoaded()) await loadTransport();
    const { target, route } = state.options;
    const answered = route ? readRoute(await route(incoming.req as RoutedRequest)) : undefined;
    const targets = answered ? readTargets('proxy.route', answered.target) : (target ?? []);
    if (!isGone(incoming.res))
      begin(state, incoming, { targets, arm: answered?.arm, counts: answered?.counts, upgrade });
  } catch (error) {
    incoming.next(error);
  }
}

function begin(state: ProxyState, incoming: Incoming, destination: Destination): void {
  let exchange: Exchange;
  try {
    exchange = new Exchange(state, incoming, destination);
  } catch (error) {
    if (error instanceof ProxyError) refuse(state, incoming, destination, error);
    else incoming.next(error);
    return;
  }
  exchange.start();
}

function refuse(state: ProxyState, incoming: Incoming, { arm }: Destination, error: ProxyError): void {
  const { req, res } = incoming;
  proxyEvents.failure.publish({ req, res, error, arm, tries: 0, isCut: false });
  answerFailure(state.options, incoming, error);
}

function readRoute(route: Route): NamedRoute {
  // A URL has no member of that name, and neither has a list.
  return typeof route === 'object' && 'target' in route ? route : { target: route };
}
