/** Requests that the HTTP parser gave up on before anything of ours saw them. */
import type { Socket } from 'node:net';
import type { createAdaptorServer } from '@hono/node-server';
import { closeLingering } from './linger.ts';

/**
 * Bytes of all headers of a request together: a user's token, an actor's, and a proof, each of the length that is
 * looked at.
 */
export const MAX_HEADER_BYTES = 40 * 1024;

const STATUS_LINES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/**
 * Answers them as Node.js does by itself, and tells of headers that were too long: a token of a megabyte is an attack
 * like any other, and is to be recorded like one.
 * @param onTooLong must not throw
 */
export function answerUnread(server: ReturnType<typeof createAdaptorServer>, onTooLong: () => void): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const isTooLong = error.code === 'HPE_HEADER_OVERFLOW';
    if (isTooLong) onTooLong();
    if (socket.writable) {
      const status = STATUS_LINES[error.code ?? ''] ?? '400 Bad Request';
      socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
      // what is left of them is still coming
      if (isTooLong) return closeLingering(socket);
    }
    socket.destroy();
  });
}
