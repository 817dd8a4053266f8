import { it } from 'vitest';

it.skip('what runs on real servers is not part of `npm test`: npm run test:servers, npm run test:contract', () => {});
