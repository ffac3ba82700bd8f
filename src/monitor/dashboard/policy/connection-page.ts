import type { ConnectionInfo } from '../../../internal/health/connection-info.ts';

/** Which connections are asked for. */
export interface PageQuery {
  readonly offset: number;
  readonly limit: number;
  /** In the id, the address or the label, in any case. `''`: all. */
  readonly filter: string;
  /** `''`: any. */
  readonly transport: string;
  /** `''`: any. `unresponsive`: any but `healthy`. */
  readonly state: string;
}

/** A connection, and the number of its registry. */
export interface ConnectionRow extends ConnectionInfo {
  readonly registry: number;
}

/** The most rows of one page. */
const mostRows = 500;

// Longer than what is searched in, as a rule.
const longestFilter = 200;

/** Reads a query string. A string says what is wrong with it. */
export function parsePageQuery(search: string): PageQuery | string {
  const fields = new URLSearchParams(search);
  const offset = Number(fields.get('offset') ?? 0);
  const limit = Number(fields.get('limit') ?? 100);
  if (!Number.isSafeInteger(offset) || offset < 0) return '`offset` must be an integer from 0.';
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > mostRows)
    return `\`limit\` must be an integer from 1 to ${mostRows}.`;
  const filter = fields.get('filter') ?? '';
  if (filter.length > longestFilter) return `\`filter\` may have ${longestFilter} characters.`;
  return { offset, limit, filter, transport: fields.get('transport') ?? '', state: fields.get('state') ?? '' };
}

/** The rows of one page, and how many there are of all pages. */
export function pageOf(
  rows: readonly ConnectionRow[],
  query: PageQuery,
): { readonly total: number; readonly rows: readonly ConnectionRow[] } {
  const found = isPlain(query) ? rows : rows.filter((row) => matches(row, query));
  return { total: found.length, rows: found.slice(query.offset, query.offset + query.limit) };
}

function isPlain({ filter, transport, state }: PageQuery): boolean {
  return filter === '' && transport === '' && state === '';
}

function matches(row: ConnectionRow, { filter, transport, state }: PageQuery): boolean {
  if (transport !== '' && row.transport !== transport) return false;
  if (state === 'unresponsive' ? row.state === 'healthy' : state !== '' && row.state !== state) return false;
  if (filter === '') return true;
  const wanted = filter.toLowerCase();
  return [row.id, row.remoteAddress, row.label].some((text) => text?.toLowerCase().includes(wanted) === true);
}
