#!/usr/bin/env bash
# Accounting for start-slurm.sh: a MariaDB with no network and a slurmdbd in front of it.
# usage: start-accounting.sh DIR [PART]: PART is mariadbd or slurmdbd, for tests that killed one; both when it is left out.
# Expects DIR/slurm.conf and munged; slurmdbd listens on 127.0.0.1 at the port above slurmctld's.
set -euo pipefail
D=$(realpath -m "$1") PART=${2:-all} BASE=${SLURM_TEST_BASE_PORT:-17000} SOCKET="$D/db/run/sql.sock"
export SLURM_CONF="$D/slurm.conf"

# Whoever can open the socket is anybody in the database: the folder is the lock. Only InnoDB's smallest sizes are written.
run_mariadbd() {
    mariadbd --no-defaults --user=root --datadir="$D/db/data" --lc-messages-dir=/usr/share/mysql --skip-name-resolve \
        --innodb-log-file-size=4M --innodb-buffer-pool-size=16M --innodb-flush-log-at-trx-commit=2 "$@"
}

make_database() {
    (umask 077 && mkdir -p "$D/db/run" "$D/db/data/mysql")
    { echo 'use mysql;'; cat /usr/share/mysql/mysql_system_tables.sql; } | run_mariadbd --bootstrap >"$D/log/mariadb-make.log" 2>&1
}

start_mariadbd() {
    run_mariadbd --skip-networking --skip-grant-tables --socket="$SOCKET" --pid-file="$D/run/mariadbd.pid" \
        --log-error="$D/log/mariadbd.log" </dev/null >/dev/null 2>&1 &
    for _ in $(seq 150); do
        if [ -S "$SOCKET" ] && [ -s "$D/run/mariadbd.pid" ]; then
            cat "$D/run/mariadbd.pid" >>"$D/pids"
            return 0
        fi
        sleep 0.1
    done
    echo "start-accounting.sh: no mariadbd" >&2
    tail -n 5 "$D/log/mariadbd.log" >&2
    return 1
}

write_conf() {
    (umask 077 && cat >"$D/slurmdbd.conf") <<CONF
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((BASE + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.sock
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
PidFile=$D/run/slurmdbd.pid
LogFile=$D/log/slurmdbd.log
CommitDelay=1
CONF
}

# NoInAddrAny binds to what the host's own name means: it is called localhost here.
start_slurmdbd() {
    MYSQL_UNIX_PORT="$SOCKET" unshare --uts bash -c 'hostname localhost && exec slurmdbd'
    for _ in $(seq 100); do
        if timeout 5 sacctmgr --noheader list cluster >/dev/null 2>&1; then
            cat "$D/run/slurmdbd.pid" >>"$D/pids"
            return 0
        fi
        sleep 0.1
    done
    echo "start-accounting.sh: no slurmdbd" >&2
    tail -n 5 "$D/log/slurmdbd.log" >&2
    return 1
}

[ "$PART" != all ] || make_database
[ "$PART" = slurmdbd ] || start_mariadbd
[ "$PART" != all ] || write_conf
[ "$PART" = mariadbd ] || start_slurmdbd
[ "$PART" != all ] || sacctmgr --immediate add cluster onebox >/dev/null
