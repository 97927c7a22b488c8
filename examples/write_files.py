"""Write small real files to try the commands on: python examples/write_files.py (needs scikit-learn).

digits-queries.npy, digits-documents.npy, digits-pairs.tsv: the upper half of a written digit has to find its lower one.
tumours-table.csv: 30 measurements of cells of 569 tumours, and whether they were malignant.
reader-old.csv, reader-new.csv: what two models read in the same 898 written digits.

The data come with scikit-learn: `load_digits` and `load_breast_cancer` (UCI, both under CC BY 4.0).
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB


def write(name: str, rows: Iterable[Iterable[Any]], delimiter: str = ",") -> None:
    """Write a table."""
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


digits = load_digits()
pixels = digits.data.astype(np.float32)
np.save("digits-queries.npy", pixels[:, :32])
np.save("digits-documents.npy", pixels[:, 32:])
numbers = range(len(pixels))
write("digits-pairs.tsv", [("query-id", "corpus-id", "score"), *((one, one, 1) for one in numbers)], "\t")

tumours = load_breast_cancer()
names = [name.replace(" ", "_") for name in tumours.feature_names]
diagnoses = tumours.target_names[tumours.target]
rows = ([*values, diagnosis] for values, diagnosis in zip(tumours.data, diagnoses, strict=True))
write("tumours-table.csv", [[*names, "diagnosis"], *rows])

fit, others = slice(0, None, 2), slice(1, None, 2)
for name, model in (("old", GaussianNB()), ("new", LogisticRegression(max_iter=1000))):
    read = model.fit(pixels[fit] / 16, digits.target[fit]).predict(pixels[others] / 16)
    pairs = zip(list(numbers)[others], digits.target[others], read, strict=True)
    write(f"reader-{name}.csv", [("id", "target", "prediction"), *pairs])
