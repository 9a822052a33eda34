/**
 * Whether Kubernetes made this environment variable for a Service, whose address and ports it tells in its own form
 * (`NAME_SERVICE_HOST`) and in that of Docker (`NAME_PORT=tcp://10.0.0.1:80`, `NAME_PORT_80_TCP_ADDR`).
 */
export function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_\w+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith("_PORT") && /^\s*(tcp|udp|sctp):\/\//.test(value))
  );
}
