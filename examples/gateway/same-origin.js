// @ts-check

/**
 * Refuses what another site makes a browser send. A client that is no browser says nothing of an origin, and passes.
 *
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {import('express').NextFunction} next
 */
export function requireSameOrigin(req, res, next) {
  if (isSameOrigin(req.headers)) next();
  else res.status(403).json({ error: 'Only a page of this server may ask for that' });
}

/** @param {import('node:http').IncomingHttpHeaders} headers */
function isSameOrigin({ 'sec-fetch-site': site, origin, host }) {
  // Sent to HTTPS and to this machine only (Fetch Metadata 2); Origin comes with every POST (Fetch 3.2).
  if (site !== undefined) return site === 'same-origin';
  return origin === undefined || hostOf(origin) === host;
}

/** @param {string} origin - may be `null`, for one that the browser keeps to itself */
function hostOf(origin) {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
