/**
 * The addresses that container and VM tools give every machine they run on: two machines that share one of these share
 * a tool. Where a tool takes its networks from a pool, only the address of the machine's own bridge is listed, since
 * the rest of the pool may be somebody's real network. docs/decisions.md says what was left out.
 */
export const BRIDGE_NETWORKS: readonly string[] = [
  // Docker's docker0 (https://docs.docker.com/engine/network/drivers/bridge/).
  "172.17.0.0/16",
  // Docker's next networks, docker_gwbridge and those of Compose, in their order: default-address-pools
  // (https://docs.docker.com/reference/cli/dockerd/).
  ...Array.from({ length: 14 }, (_, index) => `172.${18 + index}.0.1/32`),
  // Podman's default_subnet, and the first one of its default_subnet_pools (man 5 containers.conf).
  "10.88.0.0/16",
  "10.89.0.1/32",
  // libvirt's network "default" (https://wiki.libvirt.org/Networking.html).
  "192.168.122.0/24",
  // VirtualBox's first host-only network, and what every guest behind its NAT, or QEMU's, is given
  // (https://www.virtualbox.org/manual/ch06.html, https://wiki.qemu.org/Documentation/Networking).
  "192.168.56.0/24",
  "10.0.2.15/32",
  // LXC's lxcbr0 (lxc-net, LXC_ADDR).
  "10.0.3.1/32",
  // flannel and bridge of the first node of every k3s and of every kubeadm cluster with flannel: the first subnet of
  // cluster-cidr (https://docs.k3s.io/cli/server, https://github.com/flannel-io/flannel).
  "10.42.0.0/31",
  "10.244.0.0/31",
];
