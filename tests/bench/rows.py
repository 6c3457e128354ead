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


def table(rows):
    head = ("name", "value", "unit", "peer", "ratio", "better", "peer is")
    cells = [head] + [(r["name"], number(r["value"]), r["unit"], number(r["peer"]), number(r["ratio"], 3), r["better"],
                       r["peer_is"]) for r in rows]
    width = [max(len(line[i]) for line in cells) for i in range(len(head))]
    right = (1, 3, 4)
    return "\n".join("  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, width))).rstrip()
                     for line in cells)


def number(x, digits=4):
    if x is None:
        return "-"
    return "%.0f" % x if abs(x) >= 10 ** digits else "%.*g" % (digits, x)
