import { agreementContract } from '../contract/agreement.ts';
import { openTestDatabase } from '../helpers/database.ts';

agreementContract('PGlite', Number(process.env.BULKHEAD_TEST_RUNS ?? 2000), openTestDatabase);
