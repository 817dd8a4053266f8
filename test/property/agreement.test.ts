import { agreementContract } from '../contract/agreement.ts';
import { ON_SERVERS, STORES } from '../helpers/database.ts';
import { openTestStores } from '../helpers/stores.ts';

// a server answers each statement more slowly than the engine in this process; `npm run test:deep` makes 20,000
const RUNS = ON_SERVERS ? 200 : 1200;

agreementContract(STORES, Number(process.env.BULKHEAD_TEST_RUNS ?? RUNS), openTestStores);
