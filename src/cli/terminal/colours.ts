const COLOUR = { green: 32, yellow: 33, red: 31, grey: 90 };

/** What a cell of a column named STATUS looks like where there are colours. */
const COLOUR_OF_STATUS: Readonly<Record<string, keyof typeof COLOUR>> = {
  active: "green",
  online: "green",
  usable: "green",
  ok: "green",
  pending: "yellow",
  warning: "yellow",
  exhausted: "grey",
  expired: "grey",
  offline: "grey",
  unknown: "grey",
  skipped: "grey",
  revoked: "red",
  error: "red",
};

/** A word in the colour of the status it names. */
export function coloured(status: string): string {
  const colour = COLOUR_OF_STATUS[status];
  return colour === undefined ? status : `\x1b[${COLOUR[colour]}m${status}\x1b[0m`;
}
