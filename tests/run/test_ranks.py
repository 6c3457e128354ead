"""Two ranks x batch B equal one rank x batch 2B, and accumulation changes nothing, within float32's rounding."""
from job import Case, run, tensors


def distance(a, b):
    """Largest difference relative to the tensor's largest value."""
    worst = 0
    for name in a:
        scale = max(max(map(abs, a[name])), 1e-3)
        worst = max(worst, max(abs(x - y) for x, y in zip(a[name], b[name])) / scale)
    return worst


# Dense training only: a hard structure would turn the last bit of a score into a whole head.
DENSE = [("phases.search.steps", 0), ("phases.control.steps", 0), ("phases.finetune.steps", 0), ("export.dense", "true")]
# Sums over ranks are rounded in another order (1e-7 a step); AdamW divides by the root of tiny second moments in the first
# steps, which blows that up by orders of magnitude. 30 steps stay below this; a wrong normaliser is off by more than 0.1.
TOLERANCE = 2e-2

case = Case()
try:
    models = {}
    for name, ranks, more in [("one", 1, []), ("two", 2, []), ("micro", 1, [("train.micro_batch", 2)])]:
        folder = case.job(name, ranks, DENSE + more)
        run(folder, ranks)
        models[name] = tensors(folder / "export" / "dense" / "model.safetensors")
    for name in ("two", "micro"):
        d = distance(models["one"], models[name])
        print(f"{name}: largest relative difference {d:.2e}")
        assert d < TOLERANCE, name
finally:
    case.close()
