// Only in Express 5: a promise of a handler is waited for.
import express from 'express';
import { openEventStream, pipeBody } from 'sluice';

express()
  .get('/open', async (req, res) => {
    const stream = openEventStream(req, res);
    await stream.send({ data: req.path });
    await stream.end();
  })
  .get('/files/*path', async (req, res) => {
    await pipeBody([...req.params.path], req, res);
  });
