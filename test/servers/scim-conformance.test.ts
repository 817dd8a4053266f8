/** scim2-tester (PyPI) against the real application; where there is no Python or no PyPI, one line says so. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openScimApp } from '../helpers/scim.ts';

const PROGRAM = fileURLToPath(new URL('../scim/conformance.py', import.meta.url));
const PACKAGES = ['scim2-tester==0.5.2', 'scim2-client[httpx2]==0.13.2'];

let folder = '';
let python: string | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-scim-'));
  python = await installed(folder);
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(['id', 'userName'] as const)('a SCIM client whose subjects are %s', (subjectAttribute) => {
  it('finds nothing that RFC 7643 and RFC 7644 forbid', async (context) => {
    if (python === undefined) return context.skip('no Python 3 with PyPI here');
    const app = await openScimApp(subjectAttribute);
    try {
      const token = await app.token('agent', { lifetimeSeconds: 600 });
      const { code, output } = await run(python, [PROGRAM, `${app.url}/scim/v2`, token], 240_000);
      process.stdout.write(output);
      expect({ code, output }).toMatchObject({ code: 0 });
    } finally {
      await app.close();
    }
  }, 300_000);
});

/** The interpreter of a fresh environment with the tester in it. */
async function installed(where: string): Promise<string | undefined> {
  const made = await run('python3', ['-m', 'venv', where], 120_000);
  if (made.code !== 0) return undefined;
  const own = join(where, 'bin', 'python');
  const pip = await run(own, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], 240_000);
  return pip.code === 0 ? own : undefined;
}

function run(
  command: string,
  args: readonly string[],
  timeout: number,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { timeout, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    child.on('error', () => resolve({ code: 127, output }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
