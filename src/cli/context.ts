/** The terminal that standard output is. */
export interface Terminal {
  /** Its width, in characters. */
  columns: number;
  /** It shows colours, and the user wants them (`NO_COLOR`). */
  hasColours: boolean;
}

/** What a command gets of the process it runs in; only `main.ts` touches the process itself. */
export interface CommandContext {
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the process is told to end; its reason says by what. */
  signal: AbortSignal;
  /** Aborted when it is told so again: nothing is waited for any more. */
  secondSignal: AbortSignal;
  /** Has SIGHUP do this instead of ending the process; not in a terminal, which sends it when it closes. */
  onHangUp?: (listener: () => void) => void;
  /** Undefined when standard output is no terminal: then nothing is cut and nothing is coloured. */
  terminal?: Terminal;
  /** Writes a line to standard output. */
  print: (line: string) => void;
  /** Writes a line to standard error. */
  warn: (line: string) => void;
  /** Replaces the live line; undefined when standard error is no terminal. */
  progress?: (line: string) => void;
  /** Asks a question that is answered with yes or no; undefined when there is no terminal to ask at. */
  confirm?: (question: string) => Promise<boolean>;
  /** The user of this machine who gave the command. */
  user: string;
}
