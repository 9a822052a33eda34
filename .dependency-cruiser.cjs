// Who may import whom. docs/architecture.md says why; `npm run check` holds the code to it.

const DOMAIN = ["enrolment", "heartbeat", "work"];
const BASE = ["lib", "errors", "observe"];
const DATA = ["outbox", "store", "broker"];

/** Each room of src/, a directory or a single file, and all it may import besides itself. */
const rooms = {
  lib: [],
  errors: [],
  observe: ["lib", "errors"],
  config: BASE,
  store: BASE,
  broker: BASE,
  outbox: ["store", "broker", ...BASE],
  identity: [...DATA, ...BASE],
  enrolment: ["identity", ...DATA, ...BASE],
  heartbeat: ["identity", ...DATA, ...BASE],
  work: ["identity", ...DATA, ...BASE],
  rpc: [...DOMAIN, "identity", ...DATA, ...BASE, "gen"],
  server: ["lib", "observe"],
  agent: ["gen", "lib"],
  app: ["rpc", "server", ...DOMAIN, "identity", ...DATA, "config", ...BASE, "gen"],
  cli: ["app", "config", "agent", "server", "enrolment", "heartbeat", "work", "identity", ...DATA, ...BASE],
  main: ["cli", "config", "errors"],
  index: ["app", "agent", "rpc", "server", ...DOMAIN, "identity", ...DATA, "config", ...BASE, "gen"],
};

/**
 * The inner rooms of a room, the lowest first: each may import those before it, and what stands at the room's root.
 * Rooms in one list do not know each other.
 */
const innerRooms = {
  store: [
    ["schema", "connection"],
    ["migrations", "sets"],
    ["outbox"],
    ["agents", "hosts"],
    ["identity"],
    ["enrolment"],
    ["sessions", "work"],
  ],
  identity: [["x509"], ["signing-keys", "server-certificate", "client-certificates"], ["agent-ca"]],
  lib: [["formats", "async", "bounds"]],
  work: [["dispatch", "inventory", "signals"], ["reports"]],
  outbox: [["publishing"]],
  broker: [["messages"], ["rabbitmq"]],
  enrolment: [["tokens", "duplicates"], ["new-keys"], ["known-keys", "operators"]],
  heartbeat: [["presence", "inventory"], ["recording"]],
  rpc: [["screening", "refusals", "messages", "access"], ["grpc-stream", "grpc-services", "heartbeat"], ["http"]],
  server: [["requests", "probes"], ["admission"]],
  app: [["opening"]],
  cli: [
    ["terminal"],
    ["interaction"],
    ["service"],
    ["dev"],
    ["agents", "tokens", "keys", "simulate", "doctor", "completion", "queue"],
  ],
};

/** Each foreign technology and the only files that may import it. */
const homes = [
  { name: "postgresql", modules: ["drizzle-orm", "pg"], home: "^src/store(/|[.]ts$)" },
  { name: "connect", modules: ["@connectrpc/[^/]+", "@bufbuild/[^/]+"], home: "^(gen/|src/(rpc|agent)(/|[.]ts$))" },
  { name: "network", modules: ["node:(http|https|http2|tls)"], home: "^src/(server|agent)(/|[.]ts$)" },
  { name: "sockets", modules: ["node:net"], home: "^src/((server|agent)(/|[.]ts$)|cli/dev/embedded-postgres[.]ts$)" },
  { name: "identities", modules: ["jose"], home: "^src/identity(/|[.]ts$)" },
  { name: "observation", modules: ["pino", "prom-client"], home: "^src/observe(/|[.]ts$)" },
  { name: "embedded-postgres", modules: ["@?embedded-postgres"], home: "^src/cli/dev/embedded-postgres[.]ts$" },
  { name: "rabbitmq", modules: ["amqplib"], home: "^src/broker(/|[.]ts$)" },
  { name: "commander", modules: ["commander"], home: "^src/(cli/|main[.]ts$)" },
];

const pathOf = (room) => (room === "gen" ? "^gen/" : `^src/${room}(/|[.]ts$)`);

/** A package as it resolves (also to its @types), or by its bare name; a module of Node with or without `node:`. */
const pathOfModule = (module) =>
  module.startsWith("node:")
    ? `^(node:)?${module.slice("node:".length)}(/|$)`
    : `(^|node_modules/)(@types/)?${module}(/|$)`;

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "known-rooms",
      comment: "A new room is decided about here.",
      severity: "error",
      from: { path: "^src/", pathNot: Object.keys(rooms).map(pathOf) },
      to: {},
    },
    ...Object.entries(rooms).map(([room, allowed]) => ({
      name: `direction-of-${room}`,
      comment: `${room} may import ${allowed.join(", ") || "nothing of the service"}.`,
      severity: "error",
      from: { path: pathOf(room) },
      to: { path: "^(src|gen|test|drizzle|bench|dist)/", pathNot: [room, ...allowed].map(pathOf) },
    })),
    ...Object.entries(innerRooms).flatMap(([room, levels]) =>
      levels.flatMap((level, index) =>
        level.map((inner) => ({
          name: `direction-within-${room}-of-${inner}`,
          comment: "An inner room imports those below it and the root of its room.",
          severity: "error",
          from: { path: `^src/${room}/${inner}/` },
          to: {
            path: `^src/${room}/[^/]+/`,
            pathNot: [inner, ...levels.slice(0, index).flat()].map((name) => `^src/${room}/${name}/`),
          },
        })),
      ),
    ),
    {
      name: "known-inner-rooms",
      comment: "A new inner room is decided about here.",
      severity: "error",
      from: {
        path: Object.keys(innerRooms).map((room) => `^src/${room}/[^/]+/`),
        pathNot: Object.entries(innerRooms).flatMap(([room, levels]) =>
          levels.flat().map((inner) => `^src/${room}/${inner}/`),
        ),
      },
      to: {},
    },
    ...homes.map(({ name, modules, home }) => ({
      name: `home-of-${name}`,
      severity: "error",
      from: { path: "^src/", pathNot: home },
      to: { path: modules.map(pathOfModule) },
    })),
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    // Type-only imports count too.
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
