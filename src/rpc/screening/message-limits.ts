/** How large the messages of a method may be. Nothing that an honest agent sends comes near. */
export interface MessageLimits {
  /** Of one message, as it was before it was compressed. */
  maxBytes: number;
  /** Fields and values in one message, known or not, of nested messages too. */
  maxElements: number;
  /** Whether messages may come compressed, with gzip. */
  acceptsGzip: boolean;
}
