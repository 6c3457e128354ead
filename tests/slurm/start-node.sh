#!/usr/bin/env bash
# usage: start-node.sh DIR N: the slurmd of node nN, for start-slurm.sh and for tests that killed it.
# Each node has a host name and a /dev/shm of its own: else the shared memory files of two "nodes" have one name.
set -euo pipefail
D=$(realpath -m "$1") N=$2
unshare --uts --mount bash -c "hostname n$N; mount -t tmpfs -o size=1g tmpfs /dev/shm
    mount --bind '$D/hosts' /etc/hosts; exec slurmd -N n$N -f '$D/slurm.conf'"
