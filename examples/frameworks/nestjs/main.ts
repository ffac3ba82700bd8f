import 'reflect-metadata';
import { EventEmitter, on } from 'node:events';
import { Body, Controller, Get, Module, Post, Req, Res, Sse, type MessageEvent } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Request, Response } from 'express';
import { from, type Observable } from 'rxjs';
import { compress, heartbeat, lifecycle, sse } from 'sluice';

const news = new EventEmitter().setMaxListeners(0);
let lastId = 0;

const stream = sse(async function* ({ signal }) {
  yield { id: String(lastId), data: { text: 'hello' } };
  for await (const [item] of on(news, 'item', { signal })) yield item;
});

async function* items(): AsyncGenerator<MessageEvent> {
  yield { id: String(lastId), data: { text: 'hello' } };
  for await (const [item] of on(news, 'item')) yield item as MessageEvent;
}

@Controller('news')
class NewsController {
  @Post()
  publish(@Body() data: { text: string }): { listeners: number } {
    news.emit('item', { id: String(++lastId), data });
    return { listeners: news.listenerCount('item') };
  }

  // The stream of sluice: back-pressure, resuming, an AbortSignal.
  @Get()
  stream(@Req() req: Request, @Res() res: Response): void {
    stream(req, res);
  }

  // Nest's own: kept alive and drained as well. It says no-transform, so compress leaves it as it is.
  @Sse('nest')
  nest(): Observable<MessageEvent> {
    return from(items());
  }
}

@Module({ controllers: [NewsController] })
class AppModule {}

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ['error', 'warn'] });
// Instead of app.enableShutdownHooks(), which closes at once.
// Short, to try it out: behind a load balancer the defaults fit.
const life = lifecycle({ preDrain: 0, spread: '1s' });
app.use(life);
app.use(heartbeat());
app.use(compress());
life.attach(app.getHttpServer());
life.on('state', ({ state }) => {
  if (state === 'dead') void app.close();
});
await app.listen(process.env['PORT'] ?? 3000);
console.log(await app.getUrl());
