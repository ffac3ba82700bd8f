import * as client from 'sluice/client';
import tryClient from './try-client.cjs';

await tryClient(client);
