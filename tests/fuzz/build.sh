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

engine=worker/engine
# shellcheck disable=SC2046
clang -std=c17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iproto -Iworker \
    -isystem /usr/include/json-c tests/fuzz/fuzz_data.c proto/base/*.c "$engine"/data/dataset*.c "$engine"/data/digest.c \
    "$engine"/data/image.c "$engine"/data/tokenizer*.c "$engine"/ckpt/safetensors*.c "$engine"/ckpt/dtype.c \
    -o "$out/fuzz_data" $(pkg-config --libs libpng yajl json-c libcrypto) -lm
mkdir -p "$out/corpus_data"
printf '0{"images":[{"id":1,"file_name":"a","width":9,"height":9,"caption":"a b"}],"annotations":[{"id":1,"image_id":1,"bbox":[1,1,2,2],"tokens_positive":[[0,1]]}],"info":{"blind":{"rel":{"random":0.1}}}}' >"$out/corpus_data/annotations"
printf '2the\nred\ndog;\n' >"$out/corpus_data/vocabulary"
printf '3\100\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}          12345678' >"$out/corpus_data/checkpoint"
printf '1\211PNG\r\n\032\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\2\0\0\0\220wS\336\0\0\0\fIDATx\234c\370\317\300\0\0\3\1\1\0\311\376\222\357\0\0\0\0IEND\256B`\202' >"$out/corpus_data/picture"
