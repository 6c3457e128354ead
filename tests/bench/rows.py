"""A row of the result, and the arithmetic on repetitions."""
import statistics


def row(name, value, unit, better, peer=None, peer_is="", spread=None, **detail):
    """ratio = ours / peer, whichever way is better. spread: smallest and largest repetition of ours."""
    return dict(name=name, value=value, unit=unit, peer=peer, ratio=value / peer if peer else None, better=better,
                peer_is=peer_is, spread=spread, **detail)


def median(values):
    return statistics.median(values)


def span(values):
    return [min(values), max(values)]


HEAD = ("name", "value", "unit", "peer", "ratio", "better", "peer is")
WIDTHS = (-32, 8, -16, 8, 7, -6, -0)  # below 0: to the left


def line(cells):
    """One line of the table; rows are printed one by one, so its widths are fixed."""
    return "  ".join(c.ljust(-w) if w <= 0 else c.rjust(w) for c, w in zip(cells, WIDTHS)).rstrip()


def text(r):
    return line((r["name"], number(r["value"]), r["unit"], number(r["peer"]), number(r["ratio"], 3), r["better"], r["peer_is"]))


def processor_time(r):
    """What still tells two sides apart on a busy machine; "" for a row without it."""
    cpu = {side: parts.get("cpu") for side, parts in r.get("parts_ms", {}).items()}
    if not cpu.get("ours") or not cpu.get("peer"):
        return ""
    return "%s ms of processor time against %s: %.3f" % (number(cpu["ours"]), number(cpu["peer"]), cpu["ours"] / cpu["peer"])


def number(x, digits=4):
    if x is None:
        return "-"
    return "%.0f" % x if abs(x) >= 10 ** digits else "%.*g" % (digits, x)
