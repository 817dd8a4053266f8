import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { connect, type TLSSocket } from 'node:tls';

/**
 * `fetch` from a server on this machine that shows exactly this certificate: the command reads the same file as the
 * server, so that neither a name nor an authority has to vouch for it. Nothing is sent before it was compared.
 * @param certificate PEM; what follows the first certificate does not matter
 */
export function pinnedFetch(certificate: string): typeof fetch {
  const expected = new X509Certificate(certificate).fingerprint256;
  return async (input, init) => {
    const asked = new Request(input, init);
    const socket = await connectTo(new URL(asked.url), expected);
    return send(asked, socket);
  };
}

function connectTo({ hostname, port }: URL, expected: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const host = hostname.replace(/^\[|\]$/g, '');
    // the comparison below is stricter than what this turns off
    const socket = connect({
      host,
      port: Number(port || 443),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      if (socket.getPeerCertificate().fingerprint256 === expected) return resolve(socket);
      socket.destroy();
      reject(new Error('it shows another certificate than the one in BULKHEAD_TLS_CERT'));
    });
  });
}

function send(asked: Request, socket: TLSSocket): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sent = request(asked.url, {
      method: asked.method,
      headers: Object.fromEntries(asked.headers),
      createConnection: () => socket,
      signal: asked.signal,
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const headers = new Headers();
      for (const [name, value] of Object.entries(response.headersDistinct))
        for (const one of value ?? []) headers.append(name, one);
      const status = response.statusCode ?? 502;
      const isEmpty = status === 204 || status === 304 || asked.method === 'HEAD';
      if (isEmpty) response.resume();
      const body = isEmpty ? null : (Readable.toWeb(response) as globalThis.ReadableStream<Uint8Array>);
      resolve(new Response(body, { status, headers }));
    });
    if (asked.body === null) sent.end();
    else Readable.fromWeb(asked.body as ReadableStream<Uint8Array>).pipe(sent);
  });
}
