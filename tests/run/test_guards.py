"""What the worker does when numbers, disk or ranks fail: one sentence, the documented code, the last good checkpoint kept."""
import json
import os
import re
import struct
import subprocess

from job import Case, exports, kill_at, run, tensors


UNKNOWN = 3  # TOKEN_UNK of tokenizer.h
WORDS = "transformer.text_encoder.embeddings.word_embeddings.weight"


def poison(path, name="class_embed.weight", row=0):
    """Makes the first value of a row NaN; of the class head's first, unless told."""
    raw = bytearray(path.read_bytes())
    n, = struct.unpack("<Q", raw[:8])
    t = json.loads(raw[8:8 + n])[name]
    at = 8 + n + t["data_offsets"][0] + 4 * row * t["shape"][1]
    raw[at:at + 4] = struct.pack("<f", float("nan"))
    path.write_bytes(raw)


def level(path):
    """Makes every query the same."""
    raw = bytearray(path.read_bytes())
    n, = struct.unpack("<Q", raw[:8])
    t = json.loads(raw[8:8 + n])["query_embed.weight"]
    a, b = (8 + n + x for x in t["data_offsets"])
    row = raw[a:a + 4 * t["shape"][1]]
    raw[a:b] = row * t["shape"][0]
    path.write_bytes(raw)


MASK = (1 << 64) - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def held_out(number, part):
    """Whether a search's hold-out has the picture: base/rng.h's Philox4x32-10 written once more."""
    seed, purpose = 0x5EED, 11
    key = mix(mix(seed) ^ purpose << 32)
    k0, k1, c = key & 0xffffffff, key >> 32, [number, 0, 0, 0]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xffffffff, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xffffffff]
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return (((c[0] << 32 | c[1]) >> 12) + 0.5) * 2.0 ** -52 < part


case = Case()
try:
    good = case.job("good", 1)
    run(good, 1)
    bad = case.dir / "nan.safetensors"
    bad.write_bytes((good / "export" / "expanded" / "model.safetensors").read_bytes())
    poison(bad)
    start = [("phases.warmup.steps", 0), ("phases.pretrain.steps", 0)]

    # model.init: the dense score and the dense export are those of the file, before anything is trained.
    init = good / "export" / "expanded" / "model.safetensors"
    folder = case.job("init", 1, start + [("phases.task.steps", 0), ("model.init", init), ("export.dense", "true")])
    run(folder, 1)
    assert tensors(folder / "export" / "dense" / "model.safetensors") == tensors(init)

    # NaN: each step is named, nan_limit of them end the job.
    folder = case.job("nan", 1, start + [("model.init", bad), ("train.nan_limit", 3)])
    log = run(folder, 1, expect=14)
    assert log.count("the step is skipped") == 3, log
    assert "3 steps in a row had a loss of NaN or Inf (train.nan_limit)" in log, log

    # A score that fails costs no checkpoint. Not a number, of a word that only the evaluation has: the steps go on, until the
    # dense model is scored.
    unknown = case.dir / "unknown.safetensors"
    unknown.write_bytes((good / "export" / "expanded" / "model.safetensors").read_bytes())
    poison(unknown, WORDS, UNKNOWN)
    test = json.loads((case.data / "test_rec.json").read_text())
    for image in test["images"]:
        image["caption"] += " zebra"
    (case.data / "zebra.json").write_text(json.dumps(test))
    scored = start + [("evaluate.at_checkpoints", "true")]
    folder = case.job("unscored", 2, scored + [("model.init", unknown), ("data.eval", case.data / "zebra.json")])
    log = run(folder, 2, expect=14)
    assert log.count("its checkpoint is written without scores: ") == 2 and "task 10/10" in log, log
    assert len(list((folder / "checkpoints").glob("step-*.safetensors"))) >= 2, log

    # A picture that cannot be read ends the job, after the checkpoint.
    (case.data / "test" / "broken.png").write_bytes((case.data / "test" / "000000.png").read_bytes()[:40])
    for image in test["images"]:
        image["file_name"] = "test/broken.png"
    (case.data / "broken.json").write_text(json.dumps(test))
    folder = case.job("unread", 1, scored + [("data.eval", case.data / "broken.json")])
    log = run(folder, 1, expect=12)
    assert "task step 4: its checkpoint is written without scores: " in log and re.search(r"ERROR worker\.0: .*broken\.png", log), log
    assert len(list((folder / "checkpoints").glob("step-*.safetensors"))) == 1, log

    # Weight steps of a search never see the hold-out: only its captions have the word that is not a number.
    train = json.loads((case.data / "train_rec.json").read_text())
    names = sorted({image["file_name"] for image in train["images"]})
    out = {name for i, name in enumerate(names) if held_out(i, 0.2)}
    assert 5 < len(out) < 25, len(out)
    for image in train["images"]:
        image["caption"] += " zebra" if image["file_name"] in out else ""
    (case.data / "apart.json").write_text(json.dumps(train))
    apart = start + [("phases.task.steps", 0), ("phases.control.steps", 0), ("phases.finetune.steps", 0), ("model.init", unknown),
                     ("data.task", case.data / "apart.json"), ("method.every", 20)]
    log = run(case.job("apart", 1, apart), 1)
    assert "the step is skipped" not in log and log.count("hypernetwork step 0 had a loss of NaN or Inf") == 1, log
    log = run(case.job("together", 1, apart + [("phases.task.steps", 30), ("phases.search.steps", 0), ("train.nan_limit", 99)]), 1)
    assert "the step is skipped" in log, log  # the phases before it do

    # Collapse: all queries alike. Named; with train.on_collapse: stop it ends the job.
    alike = case.dir / "alike.safetensors"
    alike.write_bytes((good / "export" / "expanded" / "model.safetensors").read_bytes())
    level(alike)
    folder = case.job("alike", 1, start + [("model.init", alike), ("train.on_collapse", "stop"), ("train.log_every", 1),
                                          ("model.dropout", 0)])
    log = run(folder, 1, expect=14)
    assert "all queries answer alike" in log and "the model has collapsed at step 3" in log, log

    # What was seen of it before a kill counts: the resumed job ends at the step at which it would have ended.
    folder = case.job("alike-killed", 1, start + [("model.init", alike), ("train.on_collapse", "stop"), ("train.log_every", 1),
                                                 ("model.dropout", 0), ("train.checkpoint_every", 1)])
    kill_at(folder, "task 2/10", 1)
    log = run(folder, 1, expect=14)
    assert "resumed from" in log and "the model has collapsed at step 3" in log, log

    # Another model's file.
    folder = case.job("other", 1, start + [("model.init", good / "export" / "expanded" / "model.safetensors"),
                                          ("model.ffn", 96)])
    log = run(folder, 1, expect=2)
    assert "does not fit the job's model" in log and "fc1" in log, log

    # A damaged one.
    damaged = case.dir / "damaged.safetensors"
    damaged.write_bytes(bad.read_bytes()[:5000])
    log = run(case.job("damaged", 1, start + [("model.init", damaged)]), 1, expect=12)
    assert "damaged.safetensors" in log, log

    # Disk full: the job ends with one sentence; what was written before is whole and serves once there is room.
    if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0:
        folder = case.job("full", 1)
        small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1700k tmpfs "$0/checkpoints" && shift 0 && exec "$@"',
                 str(folder)]
        (folder / "checkpoints").mkdir()
        log = run(folder, 1, expect=6, prefix=small)
        assert "No space left on device" in log and "checkpoint at step" in log, log
        run(folder, 1)
        assert exports(folder) == exports(good)
    else:
        print("skipped: the full disk needs root and mount namespaces")

    # One rank killed: mpirun ends the others; the next start goes on.
    folder = case.job("rank", 2)
    assert kill_at(folder, "search 6/30")
    run(folder)
finally:
    case.close()
print("guards hold")
