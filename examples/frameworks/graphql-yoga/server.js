// @ts-check
import { EventEmitter, on } from 'node:events';
import express from 'express';
import { createSchema, createYoga } from 'graphql-yoga';
import { compress, heartbeat, lifecycle } from 'sluice';

const news = new EventEmitter().setMaxListeners(0);
// Short, to try it out: behind a load balancer the defaults fit.
const life = lifecycle({ preDrain: 0, spread: '1s' });

const schema = createSchema({
  typeDefs: /* GraphQL */ `
    type Query {
      listeners: Int!
    }
    type Mutation {
      publish(text: String!): Int!
    }
    type Subscription {
      news: String!
    }
  `,
  resolvers: {
    Query: { listeners: () => news.listenerCount('item') },
    Mutation: {
      publish(_parent, { text }) {
        news.emit('item', text);
        return news.listenerCount('item');
      },
    },
    Subscription: {
      news: {
        // Ends when the process drains: without ids a client of it cannot be moved to the next process.
        subscribe: async function* () {
          yield { news: 'hello' };
          try {
            for await (const [text] of on(news, 'item', { signal: life.signal })) yield { news: text };
          } catch (error) {
            if (!life.signal.aborted) throw error;
          }
        },
      },
    },
  },
});

const app = express();
app.use(life);
app.use(heartbeat());
app.use(compress());
app.use('/graphql', createYoga({ schema, logging: false }));
const server = app.listen(process.env['PORT'] ?? 3000, () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://localhost:${address?.port}`);
});
life.attach(server);
