"""Every option of the method, the phases, the evaluation and the export changes what it says it changes: one short job each."""
import json

from job import Case, kill_at, result, run, sha, tensors

PHASES = ("warmup", "pretrain", "task", "control", "search", "finetune")


def only(**steps):
    return [(f"phases.{p}.steps", steps.get(p, 0)) for p in PHASES]


def whole_job(case, name, *overrides, **steps):
    folder = case.job(name, 1, only(**steps) + list(overrides))
    log = run(folder, 1)
    return folder, log


def checkpoint(folder, step, stage):
    return tensors(folder / "checkpoints" / f"step-{16 * step + stage:012d}.safetensors")


def step_size(after, before, prefix):
    """Largest change of a weight with this name's start."""
    return max(abs(a - b) for n in after if n.startswith("w/" + prefix) for a, b in zip(after[n], before[n]))


def structure(folder):
    return json.loads((folder / "structure.json").read_text())


def bits(folder, key):
    return "".join(site.get(key, "") for site in structure(folder)["sites"])


def shared_export(folder):
    return folder / "export" / "shared" / "model.safetensors"


SEARCH, HARDEN, FINETUNE, EVALUATE = 5, 6, 7, 8
KEEP_ALL = [("train.checkpoint_every", 1), ("train.checkpoint_keep", 99)]

case = Case()
try:
    # The plain search: the rows, the keys and the history of the structure.
    base, log = whole_job(case, "base", *KEEP_ALL, search=20, finetune=4, control=2)
    r = json.loads((base / "result.json").read_text())
    for row in ("dense", "dense_more", "hardened", "compressed"):
        missing = {"params_whole", "params_backbones", "macs", "file_bytes", "p1", "p1_macro", "p1_giou", "p1_by_family"} - r[row].keys()
        assert not missing, (row, missing)
    assert r["seconds_by_phase"].keys() >= {"control", "search", "harden", "finetune", "evaluate", "export"} and r["job"]["weight_steps"] == 26
    assert r["hardened"]["params_whole"] <= 0.8 * r["dense"]["params_whole"]
    assert [v["version"] for v in r["structures"]] == list(range(1, r["structure_versions"] + 1))
    assert all(v["loss"] > 0 for v in r["structures"]), r["structures"]
    assert r["alignment_at_freeze"]["pairs"] == r["alignment"]["pairs"]
    assert r["alignment"]["loss_before"] > 0 and r["alignment"]["loss_after"] > 0
    assert "0" in bits(base, "m") and "1" in bits(base, "s")

    # Hardening drops the moments and takes the EMA along with the same structure; fine-tuning starts with fresh moments (AdamW's
    # first step is then the learning rate, in every weight) and with a warm-up of its own (2 steps: half of it).
    before, door = checkpoint(base, 22, HARDEN), checkpoint(base, 22, FINETUNE)
    assert not any(n.startswith("adam.") for n in door)
    kept = structure(base)["sites"][1]["m"]
    bias = before["ema/vision.0.ffn.b1"]
    assert structure(base)["sites"][1]["site"] == "vision.0.ffn" and "0" in kept
    assert door["ema/vision.0.ffn.b1"] == tuple(v for v, m in zip(bias, kept) if m == "1")
    assert any(before[n] != before["w" + n[3:]] for n in before if n.startswith("ema/"))
    assert 0.9 < step_size(checkpoint(base, 23, FINETUNE), door, "") / (3e-4 / 2) < 1.1

    # What may be decided, and where text takes from.
    job, _ = whole_job(case, "prune-only", ("method.share", "false"), search=20)
    assert "1" not in bits(job, "s") and "0" in bits(job, "m")
    job, _ = whole_job(case, "share-only", ("method.prune", "false"), ("method.target", 0.9), search=20)
    assert "0" not in bits(job, "m") and "1" in bits(job, "s")
    job, _ = whole_job(case, "block-only", ("method.cross_msa", "false"), ("method.cross_ffn", "false"), search=20)
    assert [s["site"] for s in structure(job)["sites"] if "s" in s] == ["text.1.msa"]
    job, _ = whole_job(case, "block-ffn", ("method.cross_msa", "false"), ("method.cross_ffn", "false"), ("method.block_msa", "false"),
                       ("method.block_ffn", "true"), search=20)
    assert [s["site"] for s in structure(job)["sites"] if "s" in s] == ["text.1.ffn"]
    job, _ = whole_job(case, "single", ("method.block_size", 1), ("method.cross_ffn", "false"), search=20)
    assert [s["site"] for s in structure(job)["sites"] if "s" in s] == ["text.0.msa", "text.1.msa"]

    # How the search is run: each changes the weights or the structure that come out.
    variants = {
        "mask": [("method.mask", "hard")], "masked": [("method.masked_weight_step", "true")], "lambda": [("method.lambda", 1)],
        "none": [("method.align_step", "none")], "user": [("method.align_source", "user")],
        "gradient": [("method.align_step", "gradient")], "every": [("method.every", 3)], "tau": [("method.tau", 1)],
        "lr": [("method.hyper_lr", 1e-2)], "decay": [("method.hyper_decay", 0.9)], "clip": [("method.hyper_clip", 0.01)],
        "width": [("method.hyper_width", 32)], "gru": [("method.hyper_gru", 16)], "warm": [("method.warm", 0.5)],
        "holdout": [("data.holdout", 0.4)], "gamma_start": [("method.gamma_start", 1)], "gamma_end": [("method.gamma_end", 50)],
        "gamma_ramp": [("method.gamma_ramp", 1)], "bias": [("method.bias", 2)], "data": [("phases.search.data", "both")],
        "dense": [("phases.search.dense", 0.5)],
    }
    plain = {}
    for name, overrides in {"plain": [], **variants}.items():
        job, _ = whole_job(case, "v-" + name, *overrides, search=20)
        plain[name] = sha(shared_export(job)), json.loads((job / "result.json").read_text())
        assert name == "plain" or plain[name][0] != plain["plain"][0], f"{name} changes nothing"
    # At the freeze every pull starts from the same weights; `none` leaves the distances, the others shorten them.
    at_freeze, end = plain["none"][1]["alignment_at_freeze"]["r_align"], plain["none"][1]["alignment"]["r_align"]
    assert plain["plain"][1]["alignment_at_freeze"]["r_align"] == at_freeze
    assert plain["plain"][1]["alignment"]["r_align"] < end

    # The pull of 5 % (method.md): at the end of the freeze the median aligned norm is at most a twentieth of its start.
    job, _ = whole_job(case, "aligned", ("phases.search.lr", 2e-3), search=400)
    r = json.loads((job / "result.json").read_text())
    for norm in ("zero_norm_median", "pair_norm_median"):
        assert r["alignment"][norm] <= 0.05 * r["alignment_at_freeze"][norm], (norm, r["alignment_at_freeze"], r["alignment"])

    # The average follows the pull: with a limit of 0 it is the weights, at every step of the freeze phase.
    job, _ = whole_job(case, "average", ("train.ema", 0), ("evaluate.weights", "raw"), *KEEP_ALL, search=20)
    state = checkpoint(job, 19, SEARCH)
    apart = max(abs(a - b) for n in state if n.startswith("w/") for a, b in zip(state[n], state["ema/" + n[2:]]))
    assert apart < 1e-6, apart

    # Hypernetwork steps drop nothing out: where weights stand still, their losses know nothing of dropout.
    still = [("phases.search.lr", 1e-12), ("method.gamma_start", 1e-6), ("method.gamma_end", 1e-6)]
    losses = [[v["loss"] for v in json.loads((whole_job(case, f"dropout-{p}", ("model.dropout", p), *still, search=20)[0] /
                                              "result.json").read_text())["structures"]] for p in (0.1, 0.5)]
    assert len(losses[0]) > 1 and all(abs(a - b) < 1e-4 * a for a, b in zip(*losses)), losses

    # Recomputing changes memory alone, in hypernetwork steps too.
    job, _ = whole_job(case, "recompute", ("train.recompute", "block"), search=20)
    assert sha(shared_export(job)) == plain["plain"][0]

    # The target is met by a search that is too short to search.
    job, log = whole_job(case, "short", search=3)
    sizes = json.loads((job / "result.json").read_text())
    assert "structure frozen at step 2:" in log and sizes["hardened"]["params_whole"] <= 0.8 * sizes["dense"]["params_whole"], log

    # The freeze waits while the sampled size is above the target, until freeze_latest, or the last step.
    for latest, step in ((0.6, 12), (0.9, 18), (0.99, 19)):
        _, log = whole_job(case, f"latest-{latest}", ("method.freeze_latest", latest), ("method.bias", 8), search=20)
        assert f"structure frozen at step {step}:" in log, log

    # The gradient pull joins after L_task's gradient was clipped: with a clip of 1e-9 it is all that moves an aligned weight.
    tight = [("train.clip", 1e-9), ("method.align_step", "gradient"), *KEEP_ALL]
    job, log = whole_job(case, "unclipped", *tight, search=20)
    frozen = int(log.split("structure frozen at step ")[1].split(":")[0])
    moment = checkpoint(job, frozen + 1, SEARCH)
    pulled, task = (max(abs(v) for n in moment if n.startswith("adam.m/" + part) for v in moment[n]) for part in ("vision.", "head.class"))
    assert pulled > 1e-5 > 1e-9 > task, (pulled, task)

    # A kill in the middle of the pull, proximal and gradient, with the rarer choices on: bit-identical.
    for pull in ("proximal", "gradient"):
        rare = only(search=20) + [("method.align_step", pull), ("method.mask", "hard"), ("method.masked_weight_step", "true"),
                                  ("method.align_source", "user"), ("train.micro_batch", 4)]
        straight, killed = case.job(f"{pull}-straight", 1, rare), case.job(f"{pull}-killed", 1, rare)
        run(straight, 1)
        assert kill_at(killed, "search 18/20", 1)
        run(killed, 1)
        assert sha(shared_export(straight)) == sha(shared_export(killed)) and result(straight) == result(killed)

    # Rates: a factor of 0 leaves a backbone as it is; schedules end where they say; 10 steps of 1e-3, no warm-up.
    ends = {}
    for schedule in ("constant", "drop", "cosine"):
        job, _ = whole_job(case, schedule, ("phases.task.schedule", schedule), ("phases.task.warmup_steps", 0), ("phases.task.lr", 1e-3),
                           ("phases.task.drop_at", 0.9), ("phases.task.lr_vision", 0), ("phases.task.lr_text", 0.5), *KEEP_ALL, task=10)
        last, before = checkpoint(job, 10, 3), checkpoint(job, 9, 2)
        ends[schedule] = step_size(last, before, "head.class")
        assert step_size(last, before, "vision.") == 0 and step_size(last, before, "text.") > 0
    assert ends["drop"] < 0.15 * ends["constant"] and ends["cosine"] < 0.05 * ends["constant"], ends
    both = [whole_job(case, f"data-{d}", ("phases.task.data", d), task=4)[0] for d in ("task", "pretrain", "both")]
    assert len({sha(shared_export(f)) for f in both}) == 3

    # A hold-out too small for a batch is told before anything is trained.
    folder = case.job("small", 1, [("data.holdout", 0.01)])
    log = run(folder, 1, expect=2)
    assert "phases.search" in log and "in the hold-out, fewer than a batch of 8" in log and "stage warmup" not in log, log

    # Which copy is exported, in which forms and type.
    raw, _ = whole_job(case, "raw", ("evaluate.weights", "raw"), ("train.ema", 0), ("export.expanded", "false"), ("export.dense", "true"),
                       *KEEP_ALL, task=4)
    state = checkpoint(raw, 4, 3)
    exported = tensors(shared_export(raw))
    assert all(exported[n] == state["w/" + n] for n in exported) and exported
    assert json.loads((raw / "result.json").read_text())["dense"]["weights"] == "raw"
    assert (raw / "export" / "dense" / "model.safetensors").exists() and not (raw / "export" / "expanded").exists()
    half, _ = whole_job(case, "half", ("export.dtype", "f16"), ("export.shared", "false"), ("evaluate.limit", 3), task=4)
    size = (half / "export" / "expanded" / "model.safetensors").stat().st_size
    assert not (half / "export" / "shared").exists() and size < 0.6 * shared_export(raw).stat().st_size
    assert json.loads((half / "result.json").read_text())["dense"]["expressions"] == 3
finally:
    case.close()
print("every option counts")
