"""What trec_eval measures, by loops over one topic: a run of (document, score) and the judgements of a pool.

Written from the definitions of its measures: num_rel counts all judged relevant documents, retrieved or not; a document
that the run does not name has no rank; a run shorter than k is filled up with documents that are not relevant.
"""

import math


def measured(run, judged, ks):
    """Return the measures of one topic.

    Args:
        run: {document: score} of what was retrieved, without equal scores.
        judged: {document: relevance level}.
        ks: cut-offs.
    """
    order = sorted(run, key=lambda document: -run[document])
    levels = [judged.get(document, 0) for document in order]
    relevant = sum(level > 0 for level in judged.values())
    best = sorted((level for level in judged.values() if level > 0), reverse=True)
    found, precisions, first = 0, 0.0, 0.0
    for rank, level in enumerate(levels, start=1):
        if level > 0:
            found += 1
            precisions += found / rank
            first = first or 1 / rank
    values = {
        "map": precisions / relevant,
        "recip_rank": first,
        "Rprec": sum(level > 0 for level in levels[:relevant]) / relevant,
        "ndcg": gained(levels) / gained(best),
    }
    for k in ks:
        inside = sum(level > 0 for level in levels[:k])
        values |= {f"P_{k}": inside / k, f"recall_{k}": inside / relevant, f"success_{k}": float(inside > 0)}
        values[f"ndcg_cut_{k}"] = gained(levels[:k]) / gained(best[:k])
    return values


def gained(levels):
    """Discounted sum of the levels by rank."""
    return sum(level / math.log2(1 + rank) for rank, level in enumerate(levels, start=1))
