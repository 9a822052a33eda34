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
  // The virtual machine of Docker Desktop (Settings, Resources, Network), and of Podman (gvisor-tap-vsock).
  "192.168.65.0/24",
  "192.168.127.0/24",
  // kind's network in IPv6, which is made of its name (kind, network_test.go: generateULASubnetFromName("kind")).
  "fc00:f853:ccd:e793::/64",
  // minikube's first network with each driver: docker, kvm2 (network_create.go, pkg/drivers/kvm/network.go:
  // firstSubnetAddr); that with VirtualBox is below, the one of docker-machine and of earlier versions here.
  "192.168.49.0/24",
  "192.168.39.0/24",
  "192.168.99.0/24",
  // Podman's default_subnet, and the first one of its default_subnet_pools (man 5 containers.conf).
  "10.88.0.0/16",
  "10.89.0.1/32",
  // CRI-O's bridge (100-crio-bridge.conf), nerdctl's (nerdctl, docs/cni.md), Nomad's (bridge_network_subnet).
  "10.85.0.1/32",
  "10.4.0.1/32",
  "172.26.64.1/32",
  // libvirt's network "default" (https://wiki.libvirt.org/Networking.html).
  "192.168.122.0/24",
  // All that VirtualBox takes for host-only networks, and what every guest behind its NAT, or QEMU's, is given
  // (https://www.virtualbox.org/manual/ch06.html, https://wiki.qemu.org/Documentation/Networking).
  "192.168.56.0/21",
  // Vagrant's private network by DHCP with VirtualBox, before it took one of those (docker/machine issue 3584).
  "172.28.128.0/24",
  "10.0.2.15/32",
  // Multipass, and what else uses macOS's shared network (vmnet): until macOS 15, and the host's own from 26 on, which
  // is that of Internet Sharing too (canonical/multipass issue 4383).
  "192.168.64.0/24",
  "192.168.2.1/32",
  // Parallels' shared and host-only networks (https://kb.parallels.com/4948).
  "10.211.55.0/24",
  "10.37.129.0/24",
  // Windows' Internet Connection Sharing, and a mobile hotspot of it.
  "192.168.137.0/24",
  // A personal hotspot of iOS.
  "172.20.10.0/28",
  // LXC's lxcbr0 (lxc-net, LXC_ADDR).
  "10.0.3.1/32",
  // flannel and bridge of the first node of every k3s and of every kubeadm cluster with flannel: the first subnet of
  // cluster-cidr (https://docs.k3s.io/cli/server, https://github.com/flannel-io/flannel).
  "10.42.0.0/31",
  "10.244.0.0/31",
  // Both ends of a translation to IPv4 on the machine itself (RFC 7335).
  "192.0.0.0/29",
];
