/**
 * Who holds the keys that wrap data keys: a file here, a cloud's key management service elsewhere. A wrapped key is
 * opaque to everybody else and says nothing without the service.
 */
export interface KeyService {
  /** Names the key that `wrap` uses. */
  readonly currentKeyId: string;
  /**
   * @param key a data key of 32 bytes
   * @param binding what the key is for; unwrapping asks for the same bytes again
   * @throws BulkheadError `keys_unavailable`
   */
  wrap(key: Uint8Array, binding: Uint8Array): Promise<Uint8Array>;
  /**
   * @param keyId the `currentKeyId` of the time when it was wrapped
   * @throws BulkheadError `keys_unavailable` when the service does not have that key, or does not answer;
   *   `decryption_failed` when the key or the binding is another
   */
  unwrap(wrapped: Uint8Array, keyId: string, binding: Uint8Array): Promise<Uint8Array>;
}
