import { createRequire } from 'node:module';
import type { HttpRequest, HttpResponse } from '../../src/index.ts';

interface Schema {
  readonly typeDefs: string;
  readonly resolvers: object;
}

type Listener = (req: HttpRequest, res: HttpResponse) => Promise<void>;

/** What the tests use of `graphql-yoga`. */
export interface GraphqlYoga {
  createSchema(schema: Schema): object;
  createYoga(options: { readonly schema: object; readonly logging?: boolean }): Listener;
}

// Not by `import`: its own types bring those of the DOM, in which `performance` is another.
export const yoga: GraphqlYoga = createRequire(import.meta.url)('graphql-yoga') as GraphqlYoga;
