import { create } from "@bufbuild/protobuf";
import type { HeartbeatRequest } from "#gen/agent/v1/heartbeat_pb.js";
import { type RenewCertificateResponse, RenewCertificateResponseSchema } from "#gen/agent/v1/ingest_pb.js";
import { type RegisterRequest, type RegisterResponse, RegisterResponseSchema } from "#gen/agent/v1/registration_pb.js";
import type { RawRegistration } from "../../enrolment/registration-request.js";
import type { RegistrationResult } from "../../enrolment/registration-result.js";
import type { CarriedResults, RawHeartbeatReport } from "../../heartbeat/heartbeat-report.js";
import type { ObtainedCertificate } from "../../identity/client-certificates/client-certificates.js";

/** The registration in a request. */
export function toRawRegistration(request: RegisterRequest): RawRegistration {
  const { platformInfo, agentInfo } = request;
  return {
    orgToken: request.orgToken,
    publicKey: request.publicKey,
    csrDer: request.csrDer,
    hostname: agentInfo?.hostname ?? "",
    version: agentInfo?.version ?? "",
    os: platformInfo?.os ?? "",
    osVersion: platformInfo?.osVersion ?? "",
    arch: platformInfo?.arch ?? "",
    ipAddresses: platformInfo?.ipAddresses ?? [],
    tags: request.tags.map(({ key, value }) => ({ key, value })),
  };
}

const MESSAGE: Record<RegistrationResult["status"], string> = {
  active: "registered",
  pending: "waiting for the approval of an operator",
  revoked: "this agent was revoked by an operator",
};

/** The response to a registration. */
export function toRegisterResponse(result: RegistrationResult): RegisterResponse {
  const { status, agentId } = result;
  const base = { agentId, status, message: MESSAGE[status] };
  if (result.status !== "active") return create(RegisterResponseSchema, base);
  return create(RegisterResponseSchema, {
    ...base,
    jwtToken: result.accessToken,
    clientCertPem: result.certificate.pem,
    agentCaCertPem: result.certificate.agentCaCertificatePem,
    clientCertNotAfterUnix: toUnixSeconds(result.certificate.notAfter),
  });
}

/** The response to a renewal. */
export function toRenewCertificateResponse(certificate: ObtainedCertificate): RenewCertificateResponse {
  return create(RenewCertificateResponseSchema, {
    clientCertPem: certificate.pem,
    clientCertNotAfterUnix: toUnixSeconds(certificate.notAfter),
    agentCaCertPem: certificate.agentCaCertificatePem,
  });
}

function toUnixSeconds(time: Date): bigint {
  return BigInt(Math.floor(time.getTime() / 1000));
}

/** The report in a heartbeat. */
export function toRawHeartbeatReport(request: HeartbeatRequest): RawHeartbeatReport {
  return {
    results: carriedResults(request),
    cpuPercent: request.cpuPercent,
    memoryPercent: request.memoryPercent,
    diskPercent: request.diskPercent,
    uptimeSeconds: request.uptimeSeconds,
    timestampUnix: request.timestampUnix,
    agentVersion: request.agentVersion,
    os: request.os,
    osVersion: request.osVersion,
    arch: request.arch,
    disks: request.disks.map((disk) => ({
      mount_point: disk.mountPoint,
      device: disk.device,
      fs_type: disk.fsType,
      total_bytes: disk.totalBytes,
      used_bytes: disk.usedBytes,
      free_bytes: disk.freeBytes,
      percent_used: disk.percentUsed,
    })),
    networkInterfaces: request.networkInterfaces.map((nic) => ({
      name: nic.name,
      // A copy has no room for more, as an array has that grew.
      ip_addresses: nic.ipAddresses.slice(),
      mac_address: nic.macAddress,
      is_up: nic.isUp,
    })),
  };
}

function carriedResults({ checkResults, queryResults, taskProgress, taskResults }: HeartbeatRequest): CarriedResults {
  if (queryResults.length + taskProgress.length + taskResults.length > 0) return "work";
  return checkResults.length > 0 ? "checks" : "none";
}
