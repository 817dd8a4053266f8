import { BlockList, isIP } from 'node:net';
import { z } from 'zod';

/** At most `points` in each `seconds`; what is counted is said where it is used. */
const limit = (points: number, seconds: number) =>
  z
    .strictObject({
      points: z.int().min(1).max(1_000_000_000).default(points),
      seconds: z.int().min(1).max(86_400).default(seconds),
    })
    .prefault({});

/**
 * How much is too much. There is no switch: a number so high that nobody meets it is the operator's choice. The
 * defaults stop a runaway script and are far above what people and ordinary services need.
 */
export const limitsSchema = z
  .strictObject({
    /** Requests of one network address, whoever it is. */
    address: limit(60_000, 60),
    /** Requests of one person or service, whatever their tokens. */
    subject: limit(6_000, 60),
    /** Requests that one service makes for all its people. */
    actor: limit(30_000, 60),
    /** Requests that come through one client application. */
    client: limit(60_000, 60),
    /** Requests with one API key. */
    key: limit(6_000, 60),
    /** What a caller receives: one a query, and for each passage one and one more for each level above the lowest. */
    cost: limit(250_000, 60),
    /** Requests for the sign-in and its way back, of one address. */
    signIn: limit(300, 300),
    /** Credentials that were not accepted, of one address. */
    failures: limit(600, 60),
    /** In place of `subject`: documents taken in and the directory's provisioning. */
    provisioning: limit(60_000, 60),
  })
  .prefault({});

export type LimitsConfig = z.infer<typeof limitsSchema>;

/** An address, or a range of them as `10.0.0.0/8`. */
const network = z.string().refine(isNetwork, 'must be an IP address, or a range of them as 10.0.0.0/8');

export const httpSchema = z
  .strictObject({
    /** Whose `X-Forwarded-For` is believed; nobody's by default. */
    trustedProxies: z.array(network).max(100).default([]),
  })
  .prefault({});

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

/** @param networks validated by `httpSchema` */
export function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const [address = '', bits] = text.split('/');
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}
