/** A running service. */
export interface App {
  grpcPort: number;
  httpPort: number;
  /** Ends every stream, so that its agent comes back elsewhere, and closes what was opened. A further call waits for the first. */
  close(): Promise<void>;
}
