import { describeRemarks } from "../../enrolment/duplicates/same-address.js";
import type { Terminal } from "../context.js";
import { printable } from "../terminal/printable.js";
import { coloured, formatTable } from "../terminal/table.js";
import type { AgentReport } from "./agent-report.js";

type Line = readonly [label: string, value: string | number | Date | null | undefined];

/** The report of `agent show` for people. */
export function formatAgentReport(report: AgentReport, terminal?: Terminal): string {
  const { history, certificates, refusals } = report;
  const sections = [
    ["Agent", formatLines(agentLines(report), terminal)],
    ["Host", formatLines(hostLines(report), terminal)],
    [
      "Client certificates",
      table(
        ["SERIAL", "STATUS", "NOT BEFORE", "NOT AFTER", "ISSUER"],
        certificates.map((certificate) => [
          certificate.serial,
          certificateStatus(certificate),
          time(certificate.notBefore),
          time(certificate.notAfter),
          certificate.issuerFingerprintSha256?.slice(0, 16) ?? "",
        ]),
        terminal,
      ),
    ],
    [
      "History",
      table(
        ["TIME", "STATUS", "REASON", "BY"],
        history.map(({ createdAt, status, reason, actorId }) => [
          time(createdAt),
          status,
          reason ?? "",
          actorId ?? "the service",
        ]),
        terminal,
      ),
    ],
    [
      "Last refusals",
      table(
        ["TIME", "CALL", "REASON", "FROM", "MATCHED BY", "TOLD"],
        refusals.map((refusal) => [
          time(refusal.refusedAt),
          refusal.method,
          refusal.reason,
          refusal.remoteAddress,
          refusal.matchedBy,
          refusal.message,
        ]),
        terminal,
      ),
    ],
  ];
  return sections.map(([title, body]) => `${title}\n${body || "none"}`).join("\n\n");
}

function agentLines(report: AgentReport): Line[] {
  const { agent, organisation, enrolmentToken, session, suspectedClone, registration, adoptedAt, sameAddressAs } =
    report;
  return [
    ["id", agent.id],
    ["hostname", agent.hostname],
    ["status", agent.status],
    ["deleted", agent.deletedAt],
    ["organisation", `${organisation.slug} (${organisation.id})`],
    ["version", agent.version],
    ["platform", [agent.os, agent.arch].filter(Boolean).join("/")],
    ["key (SHA-256)", agent.publicKeySha256],
    ["enrolled", agent.createdAt],
    ["enrolled with", enrolmentToken && `${enrolmentToken.label} (${enrolmentToken.id})`],
    ["approved", agent.approvedAt],
    ["approved by", agent.approvedById],
    ["adopted by another key", adoptedAt],
    ["waits for an operator", describeRemarks(sameAddressAs)],
    ["last registration", registration && describeRegistration(registration)],
    ["last heartbeat", agent.lastHeartbeatAt],
    ["session", session && describeSession(session)],
    ["suspected clone", suspectedClone && describeClone(suspectedClone)],
  ];
}

function describeSession(session: NonNullable<AgentReport["session"]>): string {
  const { epoch, instanceId, instanceAddress, openedAt, closedAt, isHeld, remoteAddress } = session;
  const on = instanceAddress === null ? `instance ${instanceId}` : `${instanceAddress} (instance ${instanceId})`;
  const from = remoteAddress === null ? "" : ` from ${remoteAddress}`;
  const state = closedAt === null ? (isHeld ? "" : ", which is gone") : `, ended ${time(closedAt)}`;
  return `number ${epoch}${from}, on ${on} since ${time(openedAt)}${state}`;
}

function describeClone({
  since,
  lastDisplacedAt,
  peers,
  lockedAt,
}: NonNullable<AgentReport["suspectedClone"]>): string {
  const machines = peers.map(
    ({ remoteAddress, hostname, uptimeSeconds }) => `${remoteAddress} (${hostname}, up ${uptimeSeconds} s)`,
  );
  const locked = lockedAt === null ? "" : `; locked since ${time(lockedAt)}: see agent unlock`;
  return `since ${time(since)}, last ${time(lastDisplacedAt)}: ${machines.join(" and ")}${locked}`;
}

function describeRegistration({
  at,
  remoteAddress,
  showedCertificate,
}: NonNullable<AgentReport["registration"]>): string {
  const from = remoteAddress === null ? "" : ` from ${remoteAddress}`;
  const without = showedCertificate === false ? ", without a certificate of its key" : "";
  return `${time(at)}${from}${without}`;
}

function hostLines({ host, tags, networks }: AgentReport): Line[] {
  if (host === undefined) return [];
  const percent = (value: number | null) => (value === null ? null : `${Math.round(value * 10) / 10} %`);
  return [
    ["id", host.id],
    ["hostname", host.hostname],
    ["display name", host.displayName],
    ["status", host.status],
    ["deleted", host.deletedAt],
    ["platform", [host.os, host.osVersion, host.arch].filter(Boolean).join(" ")],
    ["addresses", host.ipAddresses?.join(" ")],
    ["last seen", host.lastSeenAt],
    ["cpu", percent(host.cpuPercent)],
    ["memory", percent(host.memoryPercent)],
    ["disk", percent(host.diskPercent)],
    ["uptime", host.uptimeSeconds === null ? null : `${host.uptimeSeconds} s`],
    ["tags", tags.map(({ key, value }) => `${key}=${value}`).join(" ")],
    ["networks", networks.map(({ name, cidr }) => `${name} (${cidr})`).join(", ")],
  ];
}

function certificateStatus({ revokedAt, notAfter, onRecord }: AgentReport["certificates"][number]): string {
  if (revokedAt !== null) return "revoked";
  if (notAfter !== null && notAfter < new Date()) return "expired";
  return onRecord ? "on record" : "earlier";
}

/** What is not known is left out. */
function formatLines(lines: readonly Line[], terminal: Terminal | undefined): string {
  const width = Math.max(...lines.map(([label]) => label.length), 0);
  return lines
    .flatMap(([label, value]) => {
      if (value === null || value === undefined || value === "") return [];
      const text = value instanceof Date ? time(value) : printable(String(value));
      const shown = label === "status" && terminal?.hasColours ? coloured(text) : text;
      return [`  ${label.padEnd(width)}  ${shown}`];
    })
    .join("\n");
}

function table(header: string[], rows: string[][], terminal: Terminal | undefined): string {
  if (rows.length === 0) return "";
  const indented = terminal && { ...terminal, columns: terminal.columns - 2 };
  return formatTable(header, rows, indented).replace(/^/gm, "  ");
}

function time(date: Date | null): string {
  return date?.toISOString() ?? "";
}
