import 'reflect-metadata';
import { Readable } from 'node:stream';
import {
  Controller,
  Get,
  Header,
  HttpException,
  type MessageEvent,
  type NestApplicationOptions,
  Post,
  Res,
  Sse,
  StreamableFile,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Response } from 'express';
import { from, type Observable } from 'rxjs';
import { prose } from '../texts.ts';
import { type Gates, ifNoneMatch, listenOn, type Stack, type StackRequest } from './stack.ts';

const json = { 'content-type': 'application/json' };
const ticks = ['tick 0', 'tick 1', 'tick 2'];
const parts = ['part 0', 'part 1'];

const requests: readonly StackRequest[] = [
  { name: 'an object', path: '/reports' },
  { name: 'the same as it was', path: '/reports', headers: (seen) => ifNoneMatch(seen.get('an object')) },
  { name: 'its head', method: 'HEAD', path: '/reports' },
  { name: 'a text', path: '/reports/text' },
  { name: 'something made', method: 'POST', path: '/reports', headers: json, body: '{"a":1}' },
  { name: 'an exception', path: '/reports/fails' },
  { name: 'what is not there', path: '/nowhere' },
  { name: 'a file that streams', path: '/reports/file' },
  { name: 'a response by hand', path: '/reports/parts', parts },
  { name: 'server-sent events', path: '/reports/ticks', parts: ticks },
];

function reportsOf(gates: Gates): new () => object {
  class Reports {
    list(): object {
      return { rows: Array.from({ length: 80 }, (_row, id) => ({ id, name: `row ${id}` })) };
    }

    text(): string {
      return prose(3000);
    }

    make(): object {
      return { made: true };
    }

    fails(): never {
      throw new HttpException('no report', 409);
    }

    file(): StreamableFile {
      const pieces = [Buffer.from(prose(20_000)), Buffer.from('the end')];
      return new StreamableFile(Readable.from(pieces), { type: 'text/plain' });
    }

    async parts(res: Response): Promise<void> {
      res.type('html');
      for (const part of parts) {
        res.write(`<p>${part}</p>`);
        (res as { flush?: () => void }).flush?.();
        await gates.pass(part);
      }
      res.end();
    }

    ticks(): Observable<MessageEvent> {
      return from(
        (async function* () {
          for (const tick of ticks) {
            yield { data: { tick } };
            await gates.pass(tick);
          }
        })(),
      );
    }
  }
  // Decorators are calls: their syntax is not that of the JavaScript that the tests run as.
  Controller('reports')(Reports);
  decorate(Reports, 'list', Get());
  decorate(Reports, 'text', Get('text'), Header('Cache-Control', 'private'));
  decorate(Reports, 'make', Post());
  decorate(Reports, 'fails', Get('fails'));
  decorate(Reports, 'file', Get('file'));
  decorate(Reports, 'parts', Get('parts'));
  Res()(Reports.prototype, 'parts', 0);
  decorate(Reports, 'ticks', Sse('ticks'));
  return Reports;
}

function decorate<C extends abstract new () => object>(
  target: C,
  name: keyof InstanceType<C> & string,
  ...decorators: readonly MethodDecorator[]
): void {
  const prototype = target.prototype as object;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (descriptor) for (const decorator of decorators) decorator(prototype, name, descriptor);
}

/** Nest on Express, with the middleware where Nest's documentation mounts `compression`. */
export const nestStack: Stack = {
  name: 'Nest',
  requests,
  async start(compress, gates) {
    const Reports = reportsOf(gates);
    const options: NestApplicationOptions = Object.assign(Object.create(null), { logger: false });
    const app = await NestFactory.create<NestExpressApplication>({ module: Reports, controllers: [Reports] }, options);
    app.use(compress);
    await app.init();
    return listenOn(app.getHttpServer());
  },
};
