import type { HttpRequest, HttpResponse } from './message.ts';

// Types that follow the application: those of Express where `@types/express` is installed, else those of Node. An
// application without `@types/express` would see an error here if it checks its libraries. `@ts-ignore` hides that: the
// type is then `any`, which alone can hold `unknown`. (A conditional type that asks of a type with an error has that
// error itself: hence the objects.) Written as a JSDoc comment with a line of its own, it is kept in the declarations.

/* eslint-disable @typescript-eslint/ban-ts-comment, @typescript-eslint/no-explicit-any */
/* eslint-disable @typescript-eslint/consistent-type-imports */

/** @ts-ignore */
type ExpressRequest = import('express').Request<any>;

/** @ts-ignore */
type ExpressResponse = import('express').Response;

/** The request of Node. What routers and body parsers add is `any`, as in Express. */
type PlainRequest = HttpRequest & { body?: any; params?: any; query?: any; originalUrl?: string | undefined };

/* eslint-enable */

/** Whether a type is `any`: the only one that is both 0 and 1. */
export type IsAny<T> = 0 extends 1 & T ? true : false;

/**
 * A function of the application that this library calls. It has the type of a method, so that a function that is typed
 * for the request of another framework fits.
 */
export type Hook<Args extends unknown[], Result = unknown> = { hook(...args: Args): Result }['hook'];

/**
 * A request as handlers and hooks see it. With `@types/express` installed it is the `Request` of Express, with your own
 * additions to `Express.Request`, and `params` of any shape. Without it, it is the request of Node, with what routers
 * and body parsers add.
 */
export type RoutedRequest = { is: unknown } extends { is: ExpressRequest } ? PlainRequest : ExpressRequest;

/** A response as hooks see it: the `Response` of Express where `@types/express` is installed, else that of Node. */
export type RoutedResponse = { is: unknown } extends { is: ExpressResponse } ? HttpResponse : ExpressResponse;
