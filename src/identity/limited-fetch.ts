/** Answers of identity providers are small; one that is not is not read to its end. */
const MAX_BYTES = 1024 * 1024;
export const PROVIDER_TIMEOUT_MS = 5_000;

/** Reads the body up to a megabyte. @throws TypeError past it, and whatever reading throws */
async function readLimited(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  if (response.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new TypeError('The answer is longer than a megabyte.');
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** The same fetch, whose responses are read whole and only so far. The caller's signal covers the reading too. */
export function limited(fetcher: typeof fetch): typeof fetch {
  return async (...given) => {
    const response = await fetcher(...given);
    const body = await readLimited(response);
    const { status, headers } = response;
    return new Response(body.byteLength === 0 ? null : body, { status, headers });
  };
}

/** @throws TypeError, SyntaxError, or an abort: whatever is not a JSON object with status 200 within five seconds */
export async function fetchJson(uri: string, fetcher: typeof fetch): Promise<Record<string, unknown>> {
  const response = await limited(fetcher)(uri, {
    redirect: 'error',
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(PROVIDER_TIMEOUT_MS),
  });
  if (response.status !== 200) throw new TypeError(`The identity provider answered ${response.status}.`);
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new TypeError('The answer is not a JSON object.');
  return body as Record<string, unknown>;
}
