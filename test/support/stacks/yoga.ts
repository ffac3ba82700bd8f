import http from 'node:http';
import { yoga } from '../graphql-yoga.ts';
import { type Gates, listenOn, type Stack, type StackRequest } from './stack.ts';

const ticks = ['tick 0', 'tick 1', 'tick 2'];
const json = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
const stream = { accept: 'text/event-stream' };
const preflight = { origin: 'http://test', 'access-control-request-method': 'POST' };
const asked = (text: string): string => `/graphql?query=${encodeURIComponent(text)}`;
const query = (text: string): string => JSON.stringify({ query: text });

const requests: readonly StackRequest[] = [
  { name: 'a query', method: 'POST', path: '/graphql', headers: json, body: query('{ rows { id name } }') },
  { name: 'a query by GET', path: asked('{ rows { id } }'), headers: { accept: 'application/json' } },
  { name: 'a query that fails', method: 'POST', path: '/graphql', headers: json, body: query('{ fails }') },
  { name: 'a query that is wrong', method: 'POST', path: '/graphql', headers: json, body: query('{ nothing }') },
  { name: 'the page', path: '/graphql', headers: { accept: 'text/html' } },
  { name: 'what is not there', path: '/nowhere' },
  { name: 'the options', method: 'OPTIONS', path: '/graphql', headers: preflight },
  { name: 'a subscription', path: asked('subscription { ticks }'), headers: stream, parts: ticks },
];

function schemaOf(gates: Gates): object {
  return yoga.createSchema({
    typeDefs: `
      type Row { id: Int name: String }
      type Query { rows: [Row] fails: String }
      type Subscription { ticks: String }
    `,
    resolvers: {
      Query: {
        rows: () => Array.from({ length: 80 }, (_row, id) => ({ id, name: `row ${id}` })),
        fails: () => {
          throw new Error('no rows');
        },
      },
      Subscription: {
        ticks: {
          async *subscribe() {
            for (const tick of ticks) {
              yield { ticks: tick };
              await gates.pass(tick);
            }
          },
        },
      },
    },
  });
}

/** GraphQL Yoga as a handler of `node:http`. */
export const yogaStack: Stack = {
  name: 'GraphQL Yoga',
  requests,
  start(compress, gates) {
    const graphql = yoga.createYoga({ schema: schemaOf(gates), logging: false });
    return listenOn(
      http.createServer((req, res) => {
        compress(req, res, () => void graphql(req, res));
      }),
    );
  },
};
