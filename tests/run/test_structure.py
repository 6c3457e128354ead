"""A job that starts frozen on another job's structure ends with exactly that structure; another shape is refused."""
import hashlib
import json

from job import Case, run

case = Case()
try:
    ONLY = [(f"phases.{s}.steps", 0) for s in ("warmup", "task", "control")]
    first = case.job("first", 2, ONLY)
    run(first)
    versions = sorted((first / "structure").iterdir())
    final = versions[-1].read_bytes()

    given = case.job("given", 2, ONLY + [("method.structure", versions[-1]), ("train.seed", 9)])
    log = run(given)
    assert f"SHA-256 {hashlib.sha256(final).hexdigest()[:12]}" in log, log
    assert "structure frozen at step 0" in log and "(as given)" in log, log
    assert [p.read_bytes() for p in (given / "structure").iterdir()] == [final]
    a, b = (json.loads((job / "result.json").read_text()) for job in (first, given))
    assert b["structure_versions"] == 1 and b["hypernet_share"] == 0, b
    for key in ("params_whole", "params_backbones", "kept_whole"):
        assert a["compressed"][key] == b["compressed"][key], key
    assert b["alignment"]["r_align"] < b["alignment_at_freeze"]["r_align"], b

    # The coordinator's file is the same thing, and goes before the job file's.
    laid = case.job("laid", 1, ONLY)
    (laid / "start-structure.json").write_bytes(final)
    assert "on the structure start-structure.json" in run(laid, 1)
    assert [p.read_bytes() for p in (laid / "structure").iterdir()] == [final]

    other = case.job("other", 1, ONLY + [("method.block_size", 1)])
    (other / "start-structure.json").write_bytes(final)
    log = run(other, 1, expect=2)
    assert "cannot start on the structure" in log and "method.block_size is 2 in the one and 1 in the other" in log, log
finally:
    case.close()
