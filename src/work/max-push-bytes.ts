/**
 * Most bytes of what is pushed in one message. Released agents take messages of 4 MiB: a longer one would end their stream,
 * and again on the next one, with all that came over it.
 */
export const MAX_PUSH_BYTES = 4 * 1024 * 1024 - 1024;
