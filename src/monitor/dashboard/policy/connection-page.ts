import type { Monitored } from '../../../internal/health/connection-info.ts';

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

/** What is looked at of a connection. Its texts are made when they are asked for. */
export type Listed = Pick<Monitored, 'id' | 'transport' | 'liveness' | 'info'>;

/** Makes the test for the connections that are asked for. */
export function makeFilter({ filter, transport, state }: PageQuery): (connection: Listed) => boolean {
  const wanted = filter.toLowerCase();
  const has = (text: string | undefined): boolean => text?.toLowerCase().includes(wanted) === true;
  return (connection) => {
    const { liveness } = connection;
    if (transport !== '' && connection.transport.transport !== transport) return false;
    if (state === 'unresponsive' ? liveness.state === 'healthy' : state !== '' && liveness.state !== state)
      return false;
    if (wanted === '') return true;
    const { id, label, remoteAddress } = connection.info(0);
    return has(label) || has(remoteAddress) || has(id);
  };
}
