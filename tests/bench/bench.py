#!/usr/bin/python3
"""Runs the benchmarks and prints their rows. deploy/bench builds what is needed and calls it; docs/internals/benchmarks.md."""
import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conv_rows  # noqa: E402
import ingest_rows  # noqa: E402
import job_rows  # noqa: E402
import machine  # noqa: E402
import step_rows  # noqa: E402
import store_rows  # noqa: E402
import wire_rows  # noqa: E402
from rows import HEAD, line, processor_time, text  # noqa: E402

# name, the rows it gives beside one of its own name, function
BENCHES = (
    ("step_small_f32", step_rows.beside("small"), step_rows.step_small),
    ("step_large_f32", step_rows.beside("large"), step_rows.step_large),
    ("step_tiny_f32", step_rows.beside("tiny"), step_rows.step_tiny),
    ("conv_1x1", tuple("conv_" + n for n in conv_rows.NAMES[1:]), conv_rows.conv),
    ("step_small_bf16", (), step_rows.step_small_bf16),
    ("step_large_bf16", (), step_rows.step_large_bf16),
    ("compressed_inference", ("compressed_inference_large",), step_rows.compressed_inference),
    ("search_overhead", ("search_active", "search_pull"), job_rows.search_overhead),
    ("ranks_2x1", ("ranks_2x1_small",), job_rows.ranks_2x1),
    ("rpc_echo", ("rpc_echo_p50", "rpc_echo_p99", "rpc_echo_8", "rpc_echo_8_p50", "rpc_echo_8_p99"), wire_rows.rpc_echo),
    ("submit_durable", ("submit_durable_p50", "submit_durable_p99", "submit_durable_64", "submit_durable_64_p50",
                        "submit_durable_64_p99"), wire_rows.submit_durable),
    ("store_100k", ("get_100k", "get_100k_p99", "list_100k", "list_100k_p99", "submit_100k", "restart_100k",
                    "memory_100k"), store_rows.store_100k),
    ("ingest", ("ingest_offered", "ingest_offered_lag"), ingest_rows.ingest),
    ("data_images_per_s", (), job_rows.data_images_per_s),
)


def arguments():
    p = argparse.ArgumentParser(prog="deploy/bench", description=__doc__.splitlines()[0])
    p.add_argument("names", nargs="*", metavar="NAME", help="a benchmark or one of its rows; none = all")
    p.add_argument("--list", action="store_true", help="name the benchmarks and their rows, and end")
    p.add_argument("--json", metavar="FILE", help="also write {machine, rows} there")
    p.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions of each side (3)")
    p.add_argument("--peer-python", default="/usr/bin/python3", metavar="PATH", help="Python with the PyTorch to compare with")
    p.add_argument("--torch", metavar="PATH", help="Python with a current PyTorch, as a second peer of the steps; none unless given")
    p.add_argument("--build", default=os.path.join(machine.ROOT, "build", "release"), metavar="DIR", help="build folder")
    o = p.parse_args()
    if o.repeat < 1:
        p.error("--repeat must be at least 1")
    known = {n for name, more, _ in BENCHES for n in (name, *more)}
    for name in o.names:
        if name not in known:
            p.error("no benchmark or row '%s'; --list names them" % name)
    o.bin, o.programs = os.path.join(o.build, "bin"), os.path.join(o.build, "tests", "bench")
    return o


def print_list():
    for name, more, run in BENCHES:
        print("%-18s %s" % (name, run.__doc__))
        if more:
            print("%-18s   rows: %s" % ("", " ".join((name, *more))))


def sides(o, chosen):
    """Library, kernel set and threads of both sides, before anything is timed."""
    if not any(name.startswith("step_") for name, _, _ in chosen):
        return {}
    about = {}
    if any(name.endswith("_f32") for name, _, _ in chosen):
        about["peer"] = machine.torch_blas(o.peer_python)["text"]
        if o.torch:
            about["current"] = machine.torch_blas(o.torch)["text"]
    ours = step_rows.run([os.path.join(o.programs, "bench_step"), "--size", "micro", "--steps", "1"])["library"]
    return dict(about, ours=ours.replace(" threads=1", ""))


def run(o, chosen):
    about = dict(machine.describe(), **sides(o, chosen))
    machine.note("machine  %s, %d cores, %.1f GiB, commit %s" % (about["cpu"], about["cores"], about["memory_bytes"] / 2 ** 30,
                                                              about["commit"]))
    for side in ("ours", "peer", "current"):
        if side in about:
            machine.note("%-8s %s" % (side, about[side]))
    if about["load_average"] > 0.3 * about["cores"]:
        machine.note("NOTE     the load average is %.1f: other programs are running, and the figures will show it"
                     % about["load_average"])
    rows = []
    print(line(HEAD), flush=True)
    for name, _, function in chosen:
        begun = time.monotonic()
        machine.note("running  %s ..." % name)
        for r in function(o):
            print(text(r), flush=True)
            if processor_time(r):
                machine.note("         %s" % processor_time(r))
            rows.append(r)
        about["load_average_after"] = os.getloadavg()[0]
        if o.json:
            write_json(o.json, about, rows)
        machine.note("         %.0f s" % (time.monotonic() - begun))
    for r in rows:
        if "peer_library" in r:
            machine.note("%s: ours %s; peer %s, %s" % (r["name"], r["ours_library"], r["peer_library"], r["peer_is"]))


def write_json(path, about, rows):
    """After every benchmark: an interrupted run leaves what it had."""
    with open(path + ".part", "w") as f:
        json.dump(dict(machine=about, rows=rows), f, indent=1)
        f.write("\n")
    os.replace(path + ".part", path)


def main():
    o = arguments()
    if o.list:
        print_list()
        return 0
    chosen = [b for b in BENCHES if not o.names or any(n in (b[0], *b[1]) for n in o.names)]
    try:
        run(o, chosen)
    except machine.Refused as fault:
        print("bench: %s" % fault, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
