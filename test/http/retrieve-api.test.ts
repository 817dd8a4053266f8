import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTestApp, type TestApp } from '../helpers/app.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test?.close());

it('two people ask the same question and each sees only what they may', async () => {
  await test.add('/open', '# Salaries\n\nSalaries are paid on the 25th. Ask payroll@meridian.example.', { level: 'internal' });
  await test.add('/hr', '# Salary round\n\nThe salary round of 2027 raises pay by 4 percent.');
  const asked = { query: 'When are salaries paid?' };
  const petra = await test.ask('petra', 'POST', '/v1/retrieve', asked);
  const anna = await test.ask('anna', 'POST', '/v1/retrieve', asked);
  console.log(petra.status, petra.text);
  expect(petra.json.passages).toHaveLength(1);
  expect(anna.json.passages).toHaveLength(2);
});
