#!/bin/sh
# Makes the mount namespace of a node, then becomes its first process. Called by node.py inside new namespaces:
#   node_init.sh RUN NODE_STATE NODE_RUN INIT
# Whatever is mounted here, by us, containerd or the kubelet, goes with the namespace when this process dies.
set -eu
run=$1 state=$2 node_run=$3 init=$4

# A /run of the node's own: sockets of shims and names of pod networks do not reach the machine's.
mount -n -t tmpfs -o mode=755 tmpfs "$node_run/fresh"
mkdir -p "$node_run/fresh/${run#/run/}" "$node_run/fresh/netns" "$node_run/fresh/mount"
mount -n --bind "$run" "$node_run/fresh/${run#/run/}"
mount -n --move "$node_run/fresh" /run

mount -n --bind "$state/log" /var/log
mount -n --bind "$state/cni-cache" /var/lib/cni
mount -n --bind "$state/kubelet-fixed" /var/lib/kubelet

# Volumes of pods may ask for propagation; it ends at this namespace, which is private to the node.
mount -n --make-rshared /

# pod sandboxes are torn down by unmounting their names below here; that needs a mount of its own
mount -n --bind /run/netns /run/netns
mount -n --make-rshared /run/netns

echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
echo made > "$node_run/made"
exec "$init"
