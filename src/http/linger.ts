/**
 * A lingering close (nginx's `lingering_close`; RFC 9112 §9.6): a system that closes a connection on which unread bytes
 * lie, or come later, resets it, and a client that is still sending loses the answer that says why to stop.
 */
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { createAdaptorServer } from '@hono/node-server';

interface LingerBounds {
  /** Milliseconds without a byte. */
  readonly idleMs: number;
  /** Milliseconds in all. */
  readonly totalMs: number;
  readonly bytes: number;
}

const BOUNDS: LingerBounds = { idleMs: 500, totalMs: 2_000, bytes: 64 * 1024 * 1024 };

/** Lets the server close in this way whatever connection it closes while the body of its request is still coming. */
export function lingerOnClose(server: ReturnType<typeof createAdaptorServer>): void {
  server.prependListener('request', (request: IncomingMessage) => {
    const { socket } = request;
    socket.destroySoon = () => {
      if (request.complete) Socket.prototype.destroySoon.call(socket);
      else closeLingering(socket, request);
    };
  });
}

/**
 * Ends what is said, and takes what still comes for nothing until all of it has or a bound is reached; then the
 * connection is gone. Who asks for that once more meanwhile changes nothing.
 * @param incoming what is read of the socket: the body of its request, or the socket itself
 */
export function closeLingering(
  socket: Socket,
  incoming: Readable,
  { idleMs, totalMs, bytes }: LingerBounds = BOUNDS,
): void {
  socket.destroySoon = () => {};
  const destroy = () => socket.destroy();
  const idle = setTimeout(destroy, idleMs).unref();
  const total = setTimeout(destroy, totalMs).unref();
  const most = socket.bytesRead + bytes;
  // whoever read it before, and stopped, would stop it again
  for (const event of ['data', 'readable']) incoming.removeAllListeners(event);
  incoming.on('data', () => {
    if (socket.bytesRead > most) destroy();
    else idle.refresh();
  });
  incoming.once('end', destroy);
  socket.on('error', destroy).once('close', () => {
    clearTimeout(idle);
    clearTimeout(total);
  });
  socket.end();
  incoming.resume();
}
