import { describeRemarks } from "../../enrolment/duplicates/same-address.js";
import { readReason } from "../../enrolment/operators/operator-act.js";
import { coloured } from "../terminal/colours.js";
import { type Column, names, optional, sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { printable } from "../terminal/printable.js";
import { type Cell, formatTable } from "../terminal/table.js";
import { formatTime } from "../terminal/times.js";
import type { AgentReport } from "./agent-report.js";

type Line = readonly [label: string, value: string | number | Date | null | undefined];

/** The report of `agent show` for people. */
export function formatAgentReport(report: AgentReport, layout: Layout): string {
  const { history, certificates, refusals } = report;
  const sections = [
    ["Agent", formatLines(agentLines(report, layout), layout)],
    ["Host", formatLines(hostLines(report), layout)],
    [
      "Checks",
      table(
        [sentences("CHECK"), "TYPE", optional("EVERY"), "LAST RESULT", "RAN", sentences("OUTPUT")],
        report.checks.map(({ name, type, enabled, intervalSeconds, lastResult }) => [
          enabled ? name : `${name} (disabled)`,
          type,
          `${intervalSeconds} s`,
          lastResult?.status ?? "none",
          lastResult?.ranAt ?? "",
          lastResult?.output ?? "",
        ]),
        layout,
      ),
    ],
    [
      "Open queries and tasks",
      table(
        ["ID", "WHAT", "STATUS", "SINCE"],
        report.openWork.map((item) => [
          item.id,
          `${item.kind} ${item.type}`,
          item.status,
          item.startedAt ?? item.createdAt,
        ]),
        layout,
      ),
    ],
    [
      "Client certificates",
      table(
        [names("SERIAL"), "STATUS", optional("NOT BEFORE"), "NOT AFTER", optional("ISSUER")],
        certificates.map((certificate) => [
          certificate.serial,
          certificateStatus(certificate),
          certificate.notBefore ?? "",
          certificate.notAfter ?? "",
          certificate.issuerFingerprintSha256?.slice(0, 16) ?? "",
        ]),
        layout,
      ),
    ],
    [
      "History",
      table(
        ["TIME", "STATUS", sentences("REASON"), sentences("BY")],
        history.map(({ createdAt, status, reason: stored, actorId }) => {
          const { reason, by } = readReason(stored ?? "");
          return [createdAt, status, reason, actorId ?? by ?? "the service"];
        }),
        layout,
      ),
    ],
    [
      "Last refusals",
      table(
        ["TIME", "CALL", sentences("REASON"), names("FROM"), optional("MATCHED BY"), sentences("TOLD")],
        refusals.map((refusal) => [
          refusal.refusedAt,
          refusal.method,
          refusal.reason,
          refusal.remoteAddress,
          refusal.matchedBy,
          refusal.message,
        ]),
        layout,
      ),
    ],
  ];
  return sections.map(([title, body]) => `${title}\n${body || "none"}`).join("\n\n");
}

function agentLines(report: AgentReport, layout: Layout): Line[] {
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
    ["deleted before", report.deletedBefore],
    ["last registration", registration && describeRegistration(registration, layout)],
    ["last heartbeat", agent.lastHeartbeatAt],
    ["session", session && describeSession(session, layout)],
    ["suspected clone", suspectedClone && describeClone(suspectedClone, layout)],
  ];
}

function describeSession(session: NonNullable<AgentReport["session"]>, layout: Layout): string {
  const { epoch, instanceId, instanceAddress, openedAt, closedAt, isHeld, remoteAddress } = session;
  const on = instanceAddress === null ? `instance ${instanceId}` : `${instanceAddress} (instance ${instanceId})`;
  const from = remoteAddress === null ? "" : ` from ${remoteAddress}`;
  const state = closedAt === null ? (isHeld ? "" : ", which is gone") : `, ended ${formatTime(closedAt, layout)}`;
  return `number ${epoch}${from}, on ${on} since ${formatTime(openedAt, layout)}${state}`;
}

function describeClone(
  { since, lastDisplacedAt, peers, lockedAt }: NonNullable<AgentReport["suspectedClone"]>,
  layout: Layout,
): string {
  const machines = peers.map(
    ({ remoteAddress, hostname, uptimeSeconds }) => `${remoteAddress} (${hostname}, up ${uptimeSeconds} s)`,
  );
  const locked = lockedAt === null ? "" : `; locked since ${formatTime(lockedAt, layout)}: see agent unlock`;
  return `since ${formatTime(since, layout)}, last ${formatTime(lastDisplacedAt, layout)}: ${machines.join(" and ")}${locked}`;
}

function describeRegistration(
  { at, remoteAddress, showedCertificate }: NonNullable<AgentReport["registration"]>,
  layout: Layout,
): string {
  const from = remoteAddress === null ? "" : ` from ${remoteAddress}`;
  const without = showedCertificate === false ? ", without a certificate of its key" : "";
  return `${formatTime(at, layout)}${from}${without}`;
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
function formatLines(lines: readonly Line[], layout: Layout): string {
  const width = Math.max(...lines.map(([label]) => label.length), 0);
  return lines
    .flatMap(([label, value]) => {
      if (value === null || value === undefined || value === "") return [];
      const text = value instanceof Date ? formatTime(value, layout) : printable(String(value));
      const shown = label === "status" && layout.terminal?.hasColours ? coloured(text) : text;
      return [`  ${label.padEnd(width)}  ${shown}`];
    })
    .join("\n");
}

function table(columns: (Column | string)[], rows: Cell[][], layout: Layout): string {
  if (rows.length === 0) return "";
  const { terminal } = layout;
  const indented = { ...layout, terminal: terminal && { ...terminal, columns: terminal.columns - 2 } };
  return formatTable(columns, rows, indented).replace(/^/gm, "  ");
}
