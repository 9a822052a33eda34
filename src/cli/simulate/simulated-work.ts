import type { InstalledPackage, WorkHandlers } from "../../agent/index.js";

const PACKAGES = 300;
/** What checks of these types have for an output, as agents write it. */
const OUTPUTS: Readonly<Record<string, string>> = {
  service_account: '{"accounts":[]}',
  ssh_key_scan: '{"keys":[]}',
};

/** What simulated agents have answered. */
export interface WorkCounts {
  checksRun: number;
  queriesAnswered: number;
  inventoriesTaken: number;
}

/** Work that touches nothing of the machine it runs on. Tasks other than inventories are refused, as released agents do. */
export function simulateWork(counts: WorkCounts): WorkHandlers {
  return {
    check: ({ type }) => {
      counts.checksRun += 1;
      return { status: "pass", output: OUTPUTS[type] ?? "simulated" };
    },
    query: ({ type }) => {
      counts.queriesAnswered += 1;
      return type === "list_services"
        ? { services: [{ name: "ssh.service", loadState: "loaded", activeSub: "running" }] }
        : { ports: [{ port: 22, protocol: "tcp", process: "sshd" }] };
    },
    inventory: () => {
      counts.inventoriesTaken += 1;
      return { source: "dpkg", packages: Array.from({ length: PACKAGES }, (_, index) => simulatedPackage(index)) };
    },
  };
}

function simulatedPackage(index: number): InstalledPackage {
  return { name: `package-${String(index + 1).padStart(3, "0")}`, version: "1.0-1", architecture: "amd64" };
}
