"""A job that starts frozen on another job's structure ends with exactly that structure; another shape is refused."""
import hashlib
import json
import re

from job import Case, run


def counted(case, name, structure, overrides):
    """Runs a job on the structure; its sizes are those that the refusal of wrong ones names."""
    folder = case.job(name, 1, overrides)
    laid = folder / "start-structure.json"
    structure["parameters"]["whole"] = 0
    laid.write_text(json.dumps(structure))
    whole, backbones = re.search(r"the bits give (\d+) parameters \(backbones (\d+)\)", run(folder, 1, expect=12)).groups()
    structure["parameters"].update(whole=int(whole), backbones=int(backbones))
    laid.write_text(json.dumps(structure))
    run(folder, 1)
    return json.loads((folder / "result.json").read_text())

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

    # Where the pull has drawn everything together, hardening takes nothing away: not the groups either that are pruned for the
    # vision layer and stay for the text layer that takes them.
    bits = json.loads(final)
    for site in bits["sites"]:
        if site["site"].startswith("vision.0."):
            site["m"] = "0" * len(site["m"])
        elif site["site"].startswith("text.0."):
            site["m"] = site["s"] = "1" * len(site["m"])
    r = counted(case, "needed", bits, ONLY + [("phases.pretrain.steps", 20), ("phases.pretrain.lr", 1e-2), ("phases.search.steps", 8),
                                              ("phases.finetune.steps", 0), ("method.gamma_start", 1e6), ("method.gamma_end", 1e6),
                                              ("train.ema", 0), ("evaluate.weights", "raw")])
    before, after = r["alignment"]["loss_before"], r["alignment"]["loss_after"]
    assert r["alignment"]["zero_norm_median"] == 0 and r["alignment"]["pair_norm_median"] < 1e-6, r["alignment"]
    assert abs(before - after) < 1e-5 * before, r["alignment"]
finally:
    case.close()
