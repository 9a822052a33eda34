/** What `options` of a connection URL says: settings by their name in lower case; the text itself when it says anything else. */
export type ServerOptions = { settings: Readonly<Record<string, string>> } | { text: string };

/**
 * Reads `options`, which is written like arguments of the server: `-c name=value`, `--name=value`. A space within a
 * value has a backslash before it.
 */
export function parseServerOptions(text: string): ServerOptions {
  const words = [...text.matchAll(/(?:\\.|[^\s\\])+/gs)].map(([word]) => word.replaceAll(/\\(.)/gs, "$1"));
  const settings: Record<string, string> = {};
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    const setting = word === "-c" ? words[++index] : /^(?:-c|--)(.+)$/s.exec(word)?.[1];
    const [, name, value] = /^([\w.-]+)=(.*)$/s.exec(setting ?? "") ?? [];
    if (name === undefined || value === undefined) return { text };
    settings[name.toLowerCase().replaceAll("-", "_")] = value;
  }
  return { settings };
}
