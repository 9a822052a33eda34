import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** What a page may import, by the names that it imports in a program too: as they are published, nothing is bundled. */
const PACKAGES = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"];
const MODULES = /^\/(?:node_modules\/(?:@bufbuild\/protobuf|@connectrpc\/connect(?:-web)?)|gen)\/[\w/.-]+\.js$/;

type Target = string | { default: string };

/**
 * Serves a page with this script, which is an ES module.
 *
 * @returns the page's origin
 */
export async function servePage(t: Test, script: string): Promise<string> {
  const imports = await importMap();
  const page = `<!doctype html><title>page</title><link rel="icon" href="data:,">
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">${script}</script>`;
  const server = createServer(async ({ url = "" }, response) => {
    if (url === "/") {
      response.setHeader("Content-Type", "text/html").end(page);
      return;
    }
    const isModule = MODULES.test(url) && normalize(url) === url;
    const content = isModule ? await readFile(join(ROOT, url)).catch(() => undefined) : undefined;
    response.statusCode = content === undefined ? 404 : 200;
    response.setHeader("Content-Type", "text/javascript").end(content);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Where each package says its modules are. */
async function importMap(): Promise<Record<string, string>> {
  const imports: Record<string, string> = {};
  for (const name of PACKAGES) {
    const directory = `/node_modules/${name}`;
    const { exports } = JSON.parse(await readFile(join(ROOT, directory, "package.json"), "utf8"));
    for (const [subpath, { import: target }] of Object.entries<{ import: Target }>(exports)) {
      if (target === undefined) continue;
      const path = typeof target === "string" ? target : target.default;
      imports[normalize(`${name}/${subpath}`).replace(/\/$/, "")] = `${directory}/${normalize(path)}`;
    }
  }
  return imports;
}
