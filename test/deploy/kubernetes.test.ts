import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Service } from "kubernetes-models/v1/Service";
import t from "tap";
import { parseAllDocuments } from "yaml";
import { parseConfig } from "../../dist/config/config.js";
import { VERSION } from "../../dist/observe/version.js";

const DIRECTORY = fileURLToPath(new URL("../../deploy/kubernetes", import.meta.url));
const MODELS = { Deployment, Service, ConfigMap, PodDisruptionBudget, NetworkPolicy, ServiceMonitor };

interface Manifest {
  apiVersion: string;
  kind: keyof typeof MODELS;
  metadata: { name: string };
}

const manifests: Manifest[] = [];
for (const file of await readdir(DIRECTORY)) {
  const text = await readFile(join(DIRECTORY, file), "utf8");
  for (const document of parseAllDocuments(text)) manifests.push(document.toJS());
}
// biome-ignore lint/suspicious/noExplicitAny: what it is made of was validated
const find = (kind: string, name = "ct-ops-ingest"): any =>
  manifests.find((one) => one.kind === kind && one.metadata.name === name);

t.test("each manifest is what the schema of its kind takes", async (t) => {
  t.equal(manifests.length, 7);
  for (const manifest of manifests) {
    const Model = MODELS[manifest.kind] as new (data: unknown) => { apiVersion: string; validate(): void };
    const model = new Model(manifest);
    t.equal(model.apiVersion, manifest.apiVersion, manifest.kind);
    t.doesNotThrow(() => model.validate(), manifest.kind);
  }
  t.throws(() => new Deployment({ spec: { replicas: "two" } } as never).validate(), "a wrong one is refused");
});

t.test("they fit the service", async (t) => {
  const { data: environment } = find("ConfigMap");
  const { spec: deployment } = find("Deployment");
  const { spec: pod } = deployment.template;
  const [container] = pod.containers;
  const secrets = { DATABASE_URL: "postgresql://db/ct-ops", LDAP_ENCRYPTION_KEY: "secret" };
  const parsed = parseConfig({ ...environment, ...secrets });
  t.same(parsed.warnings, [], "there is no variable that the service does not know");
  if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
  const { config } = parsed;

  t.equal(container.image, `ct-ops-ingest:${VERSION}`);
  const ports = Object.fromEntries(
    container.ports.map(({ name, containerPort }: { name: string; containerPort: number }) => [name, containerPort]),
  );
  t.same(ports, { grpc: config.grpcPort, http: config.httpPort });
  t.equal(find("Service").spec.ports[0].port, config.grpcPort);
  t.equal(find("Service", "ct-ops-ingest-http").spec.ports[0].port, config.httpPort);
  const [agents, plain] = find("NetworkPolicy").spec.ingress;
  t.same([agents.ports[0].port, plain.ports[0].port], [config.grpcPort, config.httpPort]);

  const preStopS = Number(container.lifecycle.preStop.exec.command[1]);
  t.ok(pod.terminationGracePeriodSeconds * 1_000 > config.stopTimeoutMs + preStopS * 1_000, "time to stop in order");
  t.equal(config.workers, Number(container.resources.limits.cpu), "a worker a core");
  for (const { name, mountPath } of container.volumeMounts) {
    const paths = [config.tls.certFile, config.tls.keyFile, config.jwtKeyFile];
    t.ok(
      paths.some((path) => path.startsWith(`${mountPath}/`)),
      `${name} is used`,
    );
  }
  t.equal(find("PodDisruptionBudget").spec.maxUnavailable, 1);
  t.ok(deployment.replicas > 1, "one at a time may be away");
});
