import { defineConfig } from "drizzle-kit";

// The compiled schema, because drizzle-kit does not find TypeScript sources behind ".js" imports.
// biome-ignore lint/style/noDefaultExport: drizzle-kit reads the default export
export default defineConfig({
  dialect: "postgresql",
  schema: "./dist/store/schema/platform/index.js",
  out: "./drizzle/platform",
});
