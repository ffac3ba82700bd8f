import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { serve } from '../serve.js';

serve((target) => {
  const passOn = createProxyMiddleware({ target, ws: true, xfwd: true });
  return { request: express().use(passOn), upgrade: passOn.upgrade };
});
