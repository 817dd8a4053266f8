/** Which network address a request comes from, for limits on strangers. */
import { type BlockList, isIP } from 'node:net';

/** Where it cannot be told, everybody is one. */
const UNKNOWN = 'unknown';
/** Proxies in a row that are looked through. */
const MAX_HOPS = 20;

/**
 * The connection's other end; behind a trusted proxy, the nearest address in `X-Forwarded-For` that is no trusted
 * proxy: what stands further left was written by whoever sent the request. IPv6 counts by its network of 64 bits,
 * which one customer has at least.
 * @param forwardedFor all values of the header, joined by commas
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trustedProxies: BlockList,
): string {
  let address = plain(peer);
  if (address === undefined) return UNKNOWN;
  const hops = (forwardedFor ?? '').split(',').slice(-MAX_HOPS).reverse();
  for (const hop of hops) {
    if (!isTrusted(address, trustedProxies)) break;
    const before = plain(hop);
    // a trusted proxy that wrote what is no address: it vouches for nobody further away
    if (before === undefined) break;
    address = before;
  }
  return bucketOf(address);
}

function isTrusted(address: string, trusted: BlockList): boolean {
  return trusted.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}

/** Without brackets, port and zone; an IPv4 address in IPv6 is the IPv4 address. */
function plain(text: string | undefined): string | undefined {
  const bare = (text ?? '')
    .trim()
    .replace(/^\[([^\]]+)\](:\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(bare) === 0 ? undefined : bare;
}

function bucketOf(address: string): string {
  if (isIP(address) === 4) return address;
  const { hostname } = new URL(`http://[${address}]`);
  return `${groupsOf(hostname.slice(1, -1)).slice(0, 4).join(':')}::/64`;
}

/** All eight groups of an address in its shortest form. */
function groupsOf(address: string): readonly string[] {
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail === undefined) return left;
  const right = tail === '' ? [] : tail.split(':');
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
}
