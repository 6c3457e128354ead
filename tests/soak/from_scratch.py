#!/usr/bin/env python3
"""Makes the demo's dense model anew and compares it with the shipped one, on the same test expressions.

usage: from_scratch.py DEPLOY_DEMO [DIR]

Runs `deploy/demo --from-scratch` in DIR/scratch and `deploy/demo` in DIR/shipped (unless a result.json is there
already), about an hour on two idle cores. Fails if the two dense models or the two compressed ones are
more than a point of P@1 apart, or if either demo misses what it promises.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

POINT = 0.01


def result_of(demo, folder, *options):
    path = folder / "result.json"
    if not path.exists():
        subprocess.run([demo, "--yes", "--dir", str(folder), *options], check=True)
    return json.loads(path.read_text())


def check(what, ok):
    print(f"{'ok  ' if ok else 'FAIL'} {what}")
    return ok


def main():
    demo = sys.argv[1]
    base = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="espalier-from-scratch-"))
    runs = {"scratch": result_of(demo, base / "scratch", "--from-scratch"),
            "shipped": result_of(demo, base / "shipped")}
    good = True
    for name, run in runs.items():
        kept = run["compressed"]["params_whole"] / run["dense"]["params_whole"]
        good &= check(f"{name}: parameters kept {kept:.4f} <= .65", kept <= 0.65)
        lost = run["dense_more"]["p1"] - run["compressed"]["p1"]
        good &= check(f"{name}: compressed {run['compressed']['p1']:.4f}, {lost:+.4f} below dense_more; at most .02",
                      lost <= 0.02)
        attr = run["dense"]["p1_by_family"]["attr"]
        good &= check(f"{name}: dense on attr {attr:.4f} >= .80", attr >= 0.80)
    for model in ("dense", "compressed"):
        apart = abs(runs["scratch"][model]["p1"] - runs["shipped"][model]["p1"])
        good &= check(f"{model}: made anew {runs['scratch'][model]['p1']:.4f}, shipped {runs['shipped'][model]['p1']:.4f},"
                      f" {apart:.4f} apart; at most {POINT}", apart <= POINT)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
