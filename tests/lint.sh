#!/usr/bin/env bash
# What the compiler cannot tell: include and link direction, banned calls, the contract's comments, links of
# documents, file length, formatting.
# Prints every fault; exit 1 if there is one.
set -u
cd "$(dirname "$0")/.."
faults=0
fault() { printf 'lint: %s\n' "$*" >&2; faults=$((faults + 1)); }

sources() { git ls-files "$1" 2>/dev/null | grep -E '\.(c|h)$'; }

# includes_only FOLDER 'regex of allowed first parts'
includes_only() {
    local folder=$1 allowed=$2 line
    while IFS= read -r line; do
        fault "direction: $line (in $folder only: $allowed)"
    done < <(sources "$folder" | xargs -r grep -nE '^#include "[a-z_]+/' | grep -vE "#include \"($allowed)/")
}
includes_only proto/base 'base'
includes_only proto/structure 'base|structure'
includes_only proto/jobfile 'base|structure|jobfile'
includes_only proto/rpc 'base|rpc|grpc|espalier'
includes_only worker/engine/core 'base|engine'
includes_only worker/engine 'base|structure|engine'
includes_only worker/comm 'base|comm'
includes_only worker/report 'base|rpc|report|espalier'
includes_only client 'base|structure|jobfile|rpc|espalier|client|term'
includes_only daemon 'base|structure|jobfile|rpc|espalier|daemon|config|job|service|store|launch|metrics|webhook|doctor'

# layers inside the engine: tensor <- backend <- op <- structure <- nn <- model <- hypernet; optim, data, ckpt aside
engine_layer() {
    local folder=$1 allowed=$2 line
    while IFS= read -r line; do
        fault "engine layer: $line (engine/$folder may use: $allowed)"
    done < <(sources "worker/engine/$folder" | xargs -r grep -nE '^#include "engine/' |
        grep -vE "#include \"engine/($allowed)/")
}
engine_layer core 'core|backend'
engine_layer backend 'core|backend'
engine_layer op 'core|backend|op'
engine_layer structure 'core|backend|op|structure'
engine_layer nn 'core|backend|op|structure|nn'
engine_layer model 'core|backend|op|structure|nn|model|data'
engine_layer hypernet 'core|backend|op|structure|nn|model|hypernet'
engine_layer optim 'core|backend|optim'
engine_layer data 'core|data'
engine_layer ckpt 'core|ckpt|data|structure|model'

banned() {
    local pattern=$1 why=$2 line
    shift 2
    while IFS= read -r line; do
        fault "banned: $line ($why)"
    done < <(git ls-files "$@" | grep -E '\.(c|h)$' | xargs -r grep -nE "$pattern")
}
banned '\b(strcpy|strcat|sprintf|gets|atoi|atof|strtok)\(' 'unsafe or silent on errors' proto client daemon worker
banned '\b(system|popen)\(' 'no shell sees a string of ours' proto client daemon worker
banned '\b(exit|abort)\(' 'libraries return' proto daemon/service daemon/job daemon/store worker/engine
banned '#include <grpc/' 'gRPC is used in proto/rpc only' client daemon worker proto/base proto/jobfile proto/structure
banned '#include <sqlite3' 'SQL is used in daemon/store only' client worker proto daemon/service daemon/job daemon/launch
banned '#include <mpi' 'MPI is used in worker/comm only' client daemon proto worker/engine worker/run worker/report

# The contract explains every field, and names the phases that the worker goes through.
while IFS= read -r line; do
    fault "comment: $line (say what the field means)"
done < <(git ls-files 'proto/*.proto' | xargs -r awk '
    /= *[0-9]+;/ && !/_UNSPECIFIED = 0;/ && !/\/\// && !commented { print FILENAME ":" FNR ": " $0 }
    { commented = /^ *\/\// }')
stages=$(sed -n 's/.*X(STAGE_[A-Z]*, "\([a-z]*\)").*/\1/p' worker/run/run.h | paste -sd' ')
grep -qF "// ${stages// / | }" proto/espalier/v1/job.proto ||
    fault "phases: Progress.phase of job.proto does not list $stages (worker/run/run.h)"

# Links between documents lead somewhere.
while IFS=: read -r path link; do
    [ -e "$(dirname "$path")/$link" ] || fault "link: $path: $link is not there"
done < <(git ls-files '*.md' | xargs -r grep -oHE '\]\([^)# ]+' | sed 's/:](/:/' | grep -v ':[a-z]*://')

# A page that the index does not name is not found.
while IFS= read -r path; do
    grep -qF "](${path#docs/})" docs/index.md || fault "index: docs/index.md has no link to $path"
done < <(git ls-files 'docs/**/*.md' 'docs/*.md' | grep -v '^docs/index.md$')

# A file over the limit holds two subjects. Tests are tables of cases and may be longer.
while read -r lines path; do
    case "$path" in total) continue ;; tests/*) most=700 ;; *) most=500 ;; esac
    [ "$lines" -gt "$most" ] && fault "long: $path has $lines lines ($most at most)"
done < <(git ls-files '*.c' '*.h' | xargs -r wc -l)

if command -v clang-format >/dev/null; then
    while IFS= read -r path; do
        fault "format: clang-format -i $path"
    done < <(git ls-files '*.c' '*.h' | xargs -r clang-format --dry-run 2>&1 | sed -n 's/^\([^:]*\):[0-9]*:.*clang-format-violations.*/\1/p' | sort -u)
fi
[ "$faults" = 0 ] || { printf 'lint: %d faults\n' "$faults" >&2; exit 1; }
