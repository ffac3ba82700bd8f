import { otherLabel } from './labels.ts';

/** What a router leaves on a request. */
interface Routed {
  readonly baseUrl?: unknown;
  readonly route?: { readonly path?: unknown } | null | undefined;
}

/**
 * The template of the route that a request matched, such as `/users/:id`, with the path at which its router is mounted.
 * `__other__` without a route, or where its path is no text: a path that the client chose is never a label.
 */
export function routeTemplateOf(req: object): string {
  const { baseUrl, route } = req as Routed;
  const path = Array.isArray(route?.path) ? (route.path[0] as unknown) : route?.path;
  if (typeof path !== 'string') return otherLabel;
  // Express puts the matched text into `baseUrl`: a router that is mounted at a parameter has no template to show.
  return typeof baseUrl === 'string' && baseUrl !== '' ? `${baseUrl}${path === '/' ? '' : path}` : path;
}
