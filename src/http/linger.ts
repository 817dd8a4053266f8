/**
 * A lingering close (nginx's `lingering_close`; RFC 9112 §9.6): a system that closes a connection on which unread bytes
 * lie, or come later, resets it, and a client that is still sending loses the answer that says why to stop.
 */
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
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
export function lingerOnClose(server: ReturnType<typeof createAdaptorServer>, bounds?: LingerBounds): void {
  server.prependListener('request', (request: IncomingMessage) => {
    const { socket } = request;
    socket.destroySoon = () => {
      if (request.complete) Socket.prototype.destroySoon.call(socket);
      else closeLingering(socket, bounds);
    };
  });
}

/**
 * Ends what is said, and takes what still comes for nothing until the other side ends too or a bound is reached; then
 * the connection is gone. Who asks for that once more meanwhile changes nothing.
 */
export function closeLingering(socket: Socket, { idleMs, totalMs, bytes }: LingerBounds = BOUNDS): void {
  socket.destroySoon = () => {};
  const destroy = () => socket.destroy();
  const idle = setTimeout(destroy, idleMs).unref();
  const total = setTimeout(destroy, totalMs).unref();
  let left = bytes;
  socket
    .once('end', destroy)
    .on('error', destroy)
    .once('close', () => {
      clearTimeout(idle);
      clearTimeout(total);
    });
  socket.end();
  takeFromParser(socket, ({ length }) => {
    left -= length;
    if (left < 0) destroy();
    else idle.refresh();
  });
}

/**
 * A request that the parser still found would be executed, whose sender was told that there is no more (RFC 9112 §9.6),
 * and of a body that it drops nothing would be seen here. Node.js takes the parser off a socket to which somebody else
 * listens, and then nobody resumes what the parser had paused: so that comes first.
 */
function takeFromParser(socket: Socket, onData: (chunk: Buffer) => void): void {
  socket.once('resume', () => socket.removeAllListeners('data').on('data', onData));
  socket.pause();
  socket.resume();
}
