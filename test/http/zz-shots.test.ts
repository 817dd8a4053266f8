import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { openTestApp } from '../helpers/app.ts';
it('shoots', async () => {
  const test = await openTestApp();
  await test.add('/open', '# Pay days\n\nSalaries are paid on the 25th of each month; in December on the 18th. Questions go to payroll@meridian.example or anna@meridian.example, not to your manager.\n\n## Halifax\n\nIn Halifax salaries are paid on the last banking day. The card 4111 1111 1111 1111 is the test card.', { external_id: 'handbook/pay-days.md', date: '2026-10-01' });
  await test.add('/hr', '# Salary round 2027\n\n## Budget\n\nThe salary round of 2027 raises pay by 4 percent on average. Managers propose by 5 December; the works council sees the sum of each department, never single salaries.\n\n- Hamburg: 3.9 %\n- Halifax: 4.3 %', { compartments: ['payroll'], external_id: 'salary-round-2027-with-a-very-long-file-name-that-somebody-exported.md', title: 'Salary round 2027: budget, dates and what managers may say about it' });
  await test.add('/open', '# <script>alert(1)</script> Holidays\n\nThe office is closed in December from the 24th. <img src=x onerror=alert(1)>', {});
  const { stdout, stderr } = await promisify(execFile)('node', ['/tmp/shots/shoot.mjs', test.url], { timeout: 90_000 }).catch((e) => e);
  console.log(stdout, stderr);
  console.log(test.logLines.filter((l) => /error|failed/.test(l)).join(''));
  await test.close();
  expect(1).toBe(1);
}, 150_000);
