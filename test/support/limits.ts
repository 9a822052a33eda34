/** What a listener takes in a test that is about something else. */
export const LIMITS = {
  maxConnections: 1_000,
  maxPerAddress: 0,
  maxHandshakes: 32,
  isProxy: () => false,
  maxStreams: 100,
  maxResetsPerSecond: 20,
  maxHeaderBytes: 16 * 1024,
};
