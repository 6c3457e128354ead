#!/usr/bin/env bash
# usage: stop-slurm.sh DIR: ends what start-slurm.sh DIR has started, by the recorded pids alone.
D=$(realpath -m "$1")
export SLURM_CONF="$D/slurm.conf"
squeue -h -o %A 2>/dev/null | xargs -r scancel 2>/dev/null
for _ in $(seq 30); do
    [ -z "$(squeue -h 2>/dev/null)" ] && break
    sleep 0.2
done
pids=$(tac "$D/pids")
is_alive() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
for p in $pids; do kill -TERM "$p" 2>/dev/null; done
for _ in $(seq 50); do
    left=0
    for p in $pids; do is_alive "$p" && left=1; done
    [ "$left" = 0 ] && break
    sleep 0.1
done
for p in $pids; do is_alive "$p" && kill -KILL "$p" 2>/dev/null; done
# A slurmd that was killed leaves slurmstepd and the ranks behind; ours have files open under DIR.
for p in $(ps -C slurmstepd -o pid= 2>/dev/null); do
    find "/proc/$p/fd" -lname "$D/*" 2>/dev/null | grep -q . || continue
    for c in $(ps --ppid "$p" -o pid=); do kill -KILL "$c" 2>/dev/null; done
    kill -KILL "$p" 2>/dev/null
done
exit 0
