#!/usr/bin/env bash
# Fuzzes every target for SECONDS each (default 10), from its corpus in tests/fuzz/corpus; what is found new goes to
# DIR/corpus. `tests/fuzz/build.sh && tests/fuzz/run.sh 1800` on an idle machine; then, to keep what was learned,
#   DIR/fuzz_X -merge=1 tests/fuzz/corpus/X DIR/corpus/X
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-10} dir=${2:-build/fuzz}
# Every RPC of the contract once, so that a new one is fuzzed from its first day.
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/fuzz/seeds.py proto "$(command -v protoc)" "$dir/corpus"
for target in "$dir"/fuzz_*; do
    [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    mkdir -p "$dir/corpus/$name" "tests/fuzz/corpus/$name"
    set -- -max_total_time="$seconds" -max_len=4096 -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$dir/"
    for dict in "tests/fuzz/$name.dict" "$dir/corpus/$name.dict"; do
        [ ! -e "$dict" ] || set -- "$@" -dict="$dict"
    done
    echo "fuzz_$name: $seconds s"
    "$target" "$@" "$dir/corpus/$name" "tests/fuzz/corpus/$name" 2>"$dir/$name.log" ||
        { tail -40 "$dir/$name.log" >&2; exit 1; }
    tail -1 "$dir/$name.log"
done
