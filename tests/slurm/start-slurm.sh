#!/usr/bin/env bash
# A real Slurm on this machine alone, without systemd: munged, slurmctld and a slurmd a node, as root.
# usage: start-slurm.sh DIR [NODES=2] [CPUS=2]
# SLURM_TEST_ACCOUNTING=1: with slurmdbd and a MariaDB of its own (start-accounting.sh), limits enforced, memory too, and jobs that
# ended soon forgotten; else jobcomp's file is all that there is.
# Everything lies under DIR, everything listens on 127.0.0.1; DIR/env is to be sourced, DIR/pids is for stop-slurm.sh.
# SLURM_TEST_BASE_PORT: slurmctld's port; the nodes have those from 11 above it on.
set -euo pipefail
D=$(realpath -m "$1") N=${2:-2} C=${3:-2} BASE=${SLURM_TEST_BASE_PORT:-17000}
mkdir -p "$D"/{munge,state,log,run}
chmod 755 "$D" "$D/run"
chmod 700 "$D/munge"
: >"$D/pids"

MEMORY=2000
if [ "${SLURM_TEST_ACCOUNTING:-0}" = 1 ]; then
    MEMORY=4000
    ACCOUNTING="JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((BASE + 1))
AccountingStoragePass=$D/run/munge.sock
AccountingStorageEnforce=limits,qos,associations
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=400
MinJobAge=2"
else
    ACCOUNTING="JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.txt
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectTypeParameters=CR_CPU
MinJobAge=300"
fi

(umask 077 && head -c 128 /dev/urandom >"$D/munge/key")
munged --force --key-file="$D/munge/key" --socket="$D/run/munge.sock" --pid-file="$D/run/munged.pid" \
    --log-file="$D/log/munged.log" --seed-file="$D/munge/seed" --num-threads=2
cat "$D/run/munged.pid" >>"$D/pids"

NODES=
for i in $(seq 1 "$N"); do
    mkdir -p "$D/spool/n$i" "$D/tmp/n$i"
    NODES+="NodeName=n$i NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((BASE + 10 + i)) CPUs=$C RealMemory=$MEMORY State=UNKNOWN"$'\n'
done
# TmpFS per node: else the PMIx folders of several slurmds on one host collide.
cat >"$D/slurm.conf" <<EOF
ClusterName=onebox
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$BASE
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.sock
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.%n.log
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
$ACCOUNTING
SelectType=select/cons_tres
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=50000,batch_sched_delay=0,bf_interval=1
MpiDefault=none
TmpFS=$D/tmp/%n
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
EnforcePartLimits=ALL
MaxJobCount=1000
SwitchType=switch/none
MailProg=/bin/true
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
${NODES}PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=2 PreemptMode=OFF
EOF
cat >"$D/env" <<EOF
export SLURM_CONF=$D/slurm.conf
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
EOF
export SLURM_CONF="$D/slurm.conf"
[ "${SLURM_TEST_ACCOUNTING:-0}" = 0 ] || "$(dirname "$0")/start-accounting.sh" "$D"
slurmctld -i -f "$D/slurm.conf"

{
    cat /etc/hosts
    for i in $(seq 1 "$N"); do echo "127.0.0.1 n$i"; done
} >"$D/hosts"
for i in $(seq 1 "$N"); do
    "$(dirname "$0")/start-node.sh" "$D" "$i"
done
up=0
for _ in $(seq 150); do
    up=$(sinfo -h -N -p main -o %T 2>/dev/null | grep -c '^idle' || true)
    [ "$up" = "$N" ] && break
    sleep 0.2
done
cat "$D"/run/slurmctld.pid "$D"/run/slurmd.*.pid >>"$D/pids"
[ "$up" = "$N" ] && exit 0
echo "start-slurm.sh: $up of $N nodes are up" >&2
tail -n 5 "$D"/log/*.log >&2
exit 1
