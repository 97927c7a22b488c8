"""DeepFashion In-shop Clothes Retrieval: `list_eval_partition.txt`, in `Eval` or in the folder itself.

It has a count line, a header `image_name item_id evaluation_status`, and a row per picture. Its status is `train`,
`query` or `gallery`. Queries are ranked against the gallery, which has their items. The counts are those of
[liu2016deepfashion].
"""

from pathlib import Path

from metricgrad._checks import fail, nearest
from metricgrad.field.lines import rows_of
from metricgrad.field.listed import Counts, Listed, Parts, apart, differing, once

__all__ = ["read"]

COLUMNS = ("image_name", "item_id", "evaluation_status")
OFFICIAL = {"train": Counts(25_882, 3_997), "query": Counts(14_218, 3_985), "gallery": Counts(12_612, 3_985)}
LIST = "list_eval_partition.txt"


def read(folder: Path) -> Parts:
    """Read the list. Pictures are looked for in `Img` where there is such a folder, else in the folder itself.

    Raises:
        InputError: the list is missing or of another form, an unknown status, a part without a picture, train shares
            items with the others, or a query has no item in the gallery.
    """
    path = folder / "Eval" / LIST
    path = path if path.exists() else folder / LIST
    rows, said = rows_of(path, COLUMNS, header=True, counted=True, wide=0)
    told = [] if said == len(rows) else [f"{LIST} says that it has {said:,} pictures and names {len(rows):,}"]
    for line, (_, _, status) in rows:
        if status not in OFFICIAL:
            known = nearest(status, OFFICIAL)
            raise fail(f"{path} line {line}", f"evaluation_status is {status!r}", "a known one", known)
    root = folder / "Img" if (folder / "Img").is_dir() else folder
    found: dict[str, Listed] = {}
    for status, counts in OFFICIAL.items():
        chosen = [row.cells for row in rows if row.cells[2] == status]
        if not chosen:
            raise fail(str(path), f"no picture is {status}", "pictures for train, query and gallery")
        source = f"{LIST} ({status})"
        listed, again = once(Listed(source, root, [one[0] for one in chosen], [one[1] for one in chosen]))
        found[status] = listed
        told += again + differing(status, listed, counts)
    train, query, gallery = found.values()
    apart(train, query)
    apart(train, gallery)
    apart(query, gallery, classes=False)
    if alone := set(query.classes) - set(gallery.classes):
        came = f"{len(alone):,} items of queries are not in the gallery, e.g. {min(alone)}"
        raise fail(str(path), came, "a picture of every queried item in the gallery")
    return Parts(train, query, gallery, told)
