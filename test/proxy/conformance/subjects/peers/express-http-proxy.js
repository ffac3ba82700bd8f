import express from 'express';
import passOn from 'express-http-proxy';
import { serve } from '../serve.js';

serve((target) => ({ request: express().use(passOn(target)) }));
