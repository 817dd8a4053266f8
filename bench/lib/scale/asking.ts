import { Agent, request } from 'node:http';

export interface Asked {
  /** From the first byte sent to the last byte read. */
  readonly ms: number;
  readonly body: string;
  /** Why there was no answer. */
  readonly failed?: string;
}

const LONGEST_MS = 60_000;
const NO_ANSWER = '{"passages":[],"complete":false}';
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** One question over a kept connection. What is not a 200 comes back as `failed`. */
export async function ask(
  url: string,
  headers: Readonly<Record<string, string>>,
  question: unknown,
): Promise<Asked> {
  try {
    return await askOnce(url, headers, question);
  } catch (error) {
    // the server closed an idle connection just as it was used again
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return askOnce(url, headers, question);
    return { ms: Number.NaN, body: NO_ANSWER, failed: String(error) };
  }
}

function askOnce(url: string, headers: Readonly<Record<string, string>>, question: unknown): Promise<Asked> {
  const text = JSON.stringify(question);
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const sent = request(
      url,
      {
        agent,
        method: 'POST',
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const ms = performance.now() - began;
          const body = Buffer.concat(parts).toString('utf8');
          if (response.statusCode === 200) resolve({ ms, body });
          else resolve({ ms, body: NO_ANSWER, failed: `${response.statusCode}: ${body.slice(0, 200)}` });
        });
      },
    );
    sent.setTimeout(LONGEST_MS, () => sent.destroy(new Error(`no answer in ${LONGEST_MS} ms`)));
    sent.on('error', reject);
    sent.end(text);
  });
}
