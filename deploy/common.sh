# common.sh - what deploy/demo, deploy/test and deploy/bench share: packages, build, messages.
# Sourced by bash; expects ROOT to be the repository's root.

# One list of Debian packages; the second is needed by tests and benchmarks only.
BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libgrpc-dev libprotobuf-c-dev protobuf-c-compiler
protobuf-compiler grpc-proto openmpi-bin libopenmpi-dev libopenblas-pthread-dev libsqlite3-dev libyaml-dev
libjson-c-dev libyajl-dev libpng-dev libssl-dev libmicrohttpd-dev libcurl4-openssl-dev xxd"
TEST_PACKAGES="openssl libcmocka-dev clang-format clang-tidy python3-grpcio python3-protobuf python3-numpy python3-scipy
python3-torch python3-pil procps librsvg2-bin mandoc man-db zsh shellcheck dpkg-dev file libopenblas0
slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge slurmdbd mariadb-server-core"

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# install PACKAGE... : what is missing, asking first unless YES=1.
install_packages() {
    local missing="" p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
    done
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null || die "these Debian packages are missing and apt-get is not here:$missing"
    say "Debian packages to install:$missing"
    if [ "${YES:-0}" != 1 ]; then
        printf 'Install them now? [y/N] ' >&2
        read -r answer || answer=n
        case "$answer" in y | Y | yes) ;; *) die "nothing installed; install them and start again, or pass --yes" ;; esac
    fi
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >&2 ||
        die "apt-get could not install:$missing"
}

# build PRESET [cmake arguments]: configures and builds into build/PRESET; BUILD_TARGETS (all when unset) says what.
build_preset() {
    local preset=$1
    shift
    local log="$ROOT/build/$preset.log"
    mkdir -p "$ROOT/build"
    say "Building ($preset) ..."
    (cd "$ROOT" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset" --target ${BUILD_TARGETS:-all}) >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        die "the build failed; the whole log is in $log"
    }
}
