/** How a receiver says that it will not take an event (RFC 8935 §2.4). */
type RefusalCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed';

export class SecurityEventRefused extends Error {
  override readonly name = 'SecurityEventRefused';

  /**
   * @param description for whoever runs the transmitter; never says what there is here
   * @param stream that the event names itself a part of, without proof; `undefined` for a stranger's
   */
  constructor(
    readonly code: RefusalCode,
    readonly description: string,
    readonly stream?: { readonly issuer: string; readonly tenant: string } | undefined,
  ) {
    super(`${code}: ${description}`);
  }
}
