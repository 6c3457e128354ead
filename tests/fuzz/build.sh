#!/usr/bin/env bash
# Builds the libFuzzer targets with clang into DIR (default build/fuzz). Long runs are for idle machines:
#   tests/fuzz/build.sh && build/fuzz/fuzz_jobfile -max_len=4096 -dict=tests/fuzz/jobfile.dict build/fuzz/corpus
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/fuzz}
mkdir -p "$out/corpus"
# shellcheck disable=SC2046
clang -std=c17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iproto \
    -isystem /usr/include/json-c tests/fuzz/fuzz_jobfile.c proto/jobfile/*.c proto/structure/*.c proto/base/*.c \
    -o "$out/fuzz_jobfile" $(pkg-config --libs yaml-0.1 json-c libcrypto) -lm
printf 'name: a\ndata: {pretrain: a, vocabulary: b, eval: c}\nphases.pretrain: {steps: 500, lr: 1e-4}\n' >"$out/corpus/good.yaml"
