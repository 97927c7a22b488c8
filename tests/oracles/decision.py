"""Rules of decision in plain loops: metrics of a table, every cut, slope decode, every cell of biases."""

import itertools
import math


def value_of_table(word, table, beta=1.0, cost=()):
    """A metric of a table [true][predicted]; NaN where it is undefined."""
    classes = range(len(table))
    n = sum(map(sum, table))
    true = [sum(table[k]) for k in classes]
    said = [sum(table[y][k] for y in classes) for k in classes]
    right = [table[k][k] for k in classes]
    if word == "accuracy":
        return sum(right) / n
    if word in ("f_macro", "macro_f1", "f_weighted", "jaccard_macro"):
        values, weights = [], []
        for k in classes:
            if true[k] + said[k] == 0:
                continue
            if word == "jaccard_macro":
                values.append(right[k] / (true[k] + said[k] - right[k]))
            else:
                values.append((1 + beta**2) * right[k] / (beta**2 * true[k] + said[k]))
            weights.append(true[k] if word == "f_weighted" else 1.0)
        return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    if word in ("balanced_accuracy", "g_mean"):
        recalls = [right[k] / true[k] for k in classes if true[k] > 0]
        if word == "g_mean":
            return math.prod(recalls) ** (1 / len(recalls))
        return sum(recalls) / len(recalls)
    if word == "expected_cost":
        return -sum(cost[y][k] * table[y][k] for y in classes for k in classes) / n
    if word == "mcc":
        up = sum(right) * n - sum(t * s for t, s in zip(true, said, strict=True))
        down = (n * n - sum(t * t for t in true)) * (n * n - sum(s * s for s in said))
        return up / math.sqrt(down) if down > 1e-9 * n**4 else 0.0
    power = {"kappa": 0, "linear_kappa": 1, "quadratic_kappa": 2}[word]
    seen = expected = 0.0
    for y in classes:
        for k in classes:
            weight = float(y != k) if power == 0 else abs(y - k) ** power
            seen += weight * table[y][k]
            expected += weight * true[y] * said[k] / n
    return 1 - seen / expected if expected else 0.0


def binary_value(word, tp, fp, fn, tn, beta=1.0):
    """A metric of a binary table; None where it has no value."""
    if word in ("f_beta", "iou"):
        up, extra = ((1 + beta**2) * tp, beta**2 * fn + fp) if word == "f_beta" else (tp, fn + fp)
        return up / (up + extra) if up + extra else 1.0
    if word == "accuracy":
        return (tp + tn) / (tp + fp + fn + tn)
    if tp + fn == 0 or fp + tn == 0:
        return None
    recalls = tp / (tp + fn), tn / (tn + fp)
    return math.sqrt(recalls[0] * recalls[1]) if word == "g_mean" else sum(recalls) / 2


def every_cut(scores, targets, value):
    """(items above, value of the table) of every cut, highest first; `value(table)`."""
    found = []
    for cut in [math.inf, *sorted(set(scores), reverse=True)]:
        said = [int(score >= cut) for score in scores]
        found.append((sum(said), value(table_of(said, targets, 2))))
    return found


def table_of(said, targets, classes):
    """Counts [true][predicted]."""
    table = [[0] * classes for _ in range(classes)]
    for k, y in zip(said, targets, strict=True):
        table[y][k] += 1
    return table


def slopes_of(value, table, step, pseudo_count):
    """Slope of a metric in every cell of a table."""
    base = [[cell + pseudo_count for cell in row] for row in table]
    start = value(base)
    slopes = []
    for y in range(len(table)):
        slopes.append([])
        for k in range(len(table)):
            moved = [list(row) for row in base]
            moved[y][k] += step
            slopes[y].append((value(moved) - start) / step * sum(map(sum, table)))
    return slopes


def slope_decode(p, targets, value, rounds=6, pseudo_count=0.5, step=0.002):
    """(start value, values of the rounds, kept slopes or None, decisions)."""
    classes = len(p[0])
    said = [max(range(classes), key=lambda k: row[k]) for row in p]
    table = table_of(said, targets, classes)
    start = best = value(table)
    values, kept, decisions = [], None, said
    for _ in range(rounds):
        slopes = slopes_of(value, table, step * len(p), pseudo_count)
        said = [decide(row, slopes) for row in p]
        new = table_of(said, targets, classes)
        values.append(value(new))
        if values[-1] > best + 1e-9:
            best, kept, decisions = values[-1], slopes, said
        table = [[(a + b) / 2 for a, b in zip(*rows, strict=True)] for rows in zip(table, new, strict=True)]
    return start, values, kept, decisions


def decide(row, slopes):
    """The first class of the largest expected slope."""
    gains = [sum(row[y] * slopes[y][k] for y in range(len(row))) for k in range(len(row))]
    return next(k for k, gain in enumerate(gains) if gain >= max(gains) - 1e-12 * max(map(max, slopes)))


def best_of_three_biases(logs, targets, value):
    """The best value that any biases of three classes reach: a point in every cell of the arrangement of tie lines.

    With b_0 = 0 an item's ties are lines b_1 = u, b_2 = v and b_2 - b_1 = w. Every cell has a vertex of two lines as a
    limit, or is unbounded; points around every vertex, in all directions between the lines, meet every cell.
    """
    lines = [(row[0] - row[1], row[0] - row[2], row[1] - row[2]) for row in logs]
    us, vs, ws = (sorted({line[k] for line in lines}) for k in range(3))
    vertices = [(u, v) for u in us for v in vs]
    vertices += [(u, u + w) for u in us for w in ws] + [(v - w, v) for v in vs for w in ws]
    near = 1e-7
    around = [(math.cos(a * math.pi / 12) * near, math.sin(a * math.pi / 12) * near) for a in range(1, 24, 2)]
    best = -math.inf
    for (x, y), (dx, dy) in itertools.product(vertices, around):
        biases = (0.0, x + dx, y + dy)
        said = [max(range(3), key=lambda k: row[k] + biases[k]) for row in logs]
        best = max(best, value(table_of(said, targets, 3)))
    return best
