#!/usr/bin/env bash
# Builds the libFuzzer targets with clang into DIR (default build/fuzz). tests/fuzz/run.sh runs them.
set -eu
cd "$(dirname "$0")/../.."
dir=${1:-build/fuzz}
cmake -G Ninja -S . -B "$dir" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG='-O1 -g' \
    -DESPALIER_FUZZ=ON -DESPALIER_SANITIZE=fuzzer-no-link,address,undefined,float-cast-overflow >"$dir.log" 2>&1 ||
    { cat "$dir.log" >&2; exit 1; }
cmake --build "$dir" --target fuzz
