"""Tiny folders in the form in which data sets of the field are distributed, and tiny networks for their pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

NETWORKS = '''
"""Networks of the user's, named in recipes: `create_model` stands for that of timm, `reader` for a text recogniser."""

import torch
from torch import nn


def create_model(model_name="tiny", num_classes=0, global_pool="avg", img_size=224):
    """Features [item, 8], or maps [item, 8, row, column] where nothing is pooled."""
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.ReLU()]
    if global_pool:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if num_classes:
        layers.append(nn.Linear(8, num_classes))
    return nn.Sequential(*layers)


def with_batch_norm():
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())


def reader(steps=25, symbols=37):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d((4, 8)), nn.Flatten(), nn.Linear(32, steps * symbols), nn.Unflatten(1, (steps, symbols))
    )


def several():
    class Several(nn.Module):
        def forward(self, pictures):
            return {"features": pictures.mean((2, 3))}

    return Several()


here = create_model()
number = 3
'''


def write_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the module `tiny_networks` and let it be imported."""
    (folder / "tiny_networks.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tiny_networks", raising=False)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    """Write a picture of a few pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def written(folder: Path, name: str, lines: Sequence[str], end: str = "\n") -> Path:
    """Write a list file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def sop(folder: Path) -> Path:
    """Six products to learn from and three to be judged on, two or three pictures each."""
    number = 0
    for name, classes in (("Ebay_train.txt", range(1, 7)), ("Ebay_test.txt", range(7, 10))):
        lines = ["image_id class_id super_class_id path"]
        for kind in classes:
            for which in range(2 + kind % 2):
                number += 1
                path = f"bicycle_final/{kind:012d}_{which}.JPG"
                picture(folder / path, number)
                lines.append(f"{number} {kind} 1 {path}")
        written(folder, name, lines)
    return folder


def cub200(folder: Path) -> Path:
    """Five kinds of birds of the first hundred, and three of the others."""
    images, labels, parts, number = [], [], [], 0
    for kind in (1, 2, 3, 40, 100, 101, 150, 200):
        for which in range(3):
            number += 1
            path = f"{kind:03d}.A_Bird/A_Bird_{which:04d}.jpg"
            picture(folder / "images" / path, number)
            images.append(f"{number} {path}")
            labels.append(f"{number} {kind}")
            parts.append(f"{number} {which % 2}")
    written(folder, "images.txt", images)
    written(folder, "image_class_labels.txt", labels)
    written(folder, "train_test_split.txt", parts)
    return folder


def cars_entries(kinds: Sequence[int] = (1, 2, 3, 98, 99, 196)) -> list[tuple[str, int]]:
    """Names and classes of cars, three pictures of each class."""
    return [
        (f"{3 * place + which + 1:06d}.jpg", kind) for place, kind in enumerate(kinds) for which in range(3)
    ]


def annotations(path: Path, name: str, entries: Sequence[tuple[str, int]]) -> None:
    """Write annotations as MATLAB does: a struct array with boxes, class and path."""
    import scipy.io

    corners = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    fields = [(name, object), *((corner, object) for corner in corners), ("class", object), ("test", object)]
    found = np.zeros((1, len(entries)), dtype=fields)
    for place, (file, kind) in enumerate(entries):
        found[0, place] = (file, 1, 1, 9, 9, kind, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"annotations": found})


def cars196(folder: Path) -> Path:
    """Four models of cars of the first 98, and two of the others, as cars_annos.mat names them."""
    entries = [(f"car_ims/{file}", kind) for file, kind in cars_entries()]
    for number, (file, _) in enumerate(entries):
        picture(folder / file, number, mode="L" if number == 4 else "RGB")
    annotations(folder / "cars_annos.mat", "relative_im_path", entries)
    return folder


def in_shop(folder: Path) -> Path:
    """Five items to learn from, and three that are asked for in a gallery."""
    lines, number = [], 0
    for item in range(1, 9):
        for which in range(3):
            number += 1
            status = "train" if item <= 5 else "query" if which == 0 else "gallery"
            path = f"img/WOMEN/Dresses/id_{item:08d}/0{which}_1_front.jpg"
            picture(folder / "Img" / path, number)
            lines.append(f"{path}   id_{item:08d}   {status}")
    written(folder, "Eval/list_eval_partition.txt", ["24", "image_name item_id evaluation_status", *lines])
    return folder


def inaturalist(folder: Path) -> Path:
    """Five species to learn from, and three to be judged on; two kingdoms have species of the same number."""
    number = 0
    for part, species in (
        ("train", ("Aves/1", "Aves/2", "Plantae/1", "Plantae/2", "Fungi/9")),
        ("test", ("Aves/7", "Plantae/7", "Fungi/3")),
    ):
        lines = []
        for name in species:
            for _ in range(3):
                number += 1
                path = f"train_val2018/{name}/{number:032x}.jpg"
                picture(folder / path, number)
                lines.append(path)
        written(folder, f"Inat_dataset_splits/Inaturalist_{part}_set1.txt", lines)
    return folder


def vehicle_id(folder: Path) -> Path:
    """Five vehicles to learn from, and four to be judged on; each smaller test is within the larger ones."""
    number, tests = 0, {800: 2, 1600: 3, 2400: 4}
    lines: dict[str, list[str]] = {"train": [], **{str(size): [] for size in tests}}
    for vehicle in range(1, 10):
        for _ in range(3):
            number += 1
            picture(folder / "image" / f"{number:07d}.jpg", number)
            row = f"{number:07d} {vehicle}"
            if vehicle <= 5:
                lines["train"].append(row)
            for size, vehicles in tests.items():
                if 5 < vehicle <= 5 + vehicles:
                    lines[str(size)].append(row)
    written(folder, "train_test_split/train_list.txt", lines.pop("train"))
    for size, rows in lines.items():
        written(folder, f"train_test_split/test_list_{size}.txt", rows)
    return folder


def class_folders(folder: Path) -> Path:
    """Eight classes of three pictures."""
    for kind in range(8):
        for which in range(3):
            picture(folder / f"class {kind}" / f"picture {which}.png", 3 * kind + which)
    return folder


def line_picture(path: Path, text: str) -> bytes:
    """Write and return a picture of a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (60, 16), "white")
    ImageDraw.Draw(image).text((2, 2), text.encode("ascii", "replace").decode(), fill="black")
    image.save(path)
    return path.read_bytes()


def write_lmdb(folder: Path, texts: Sequence[str], *, said: int | None = None) -> Path:
    """Write an environment as create_lmdb_dataset.py does."""
    import lmdb

    folder.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(folder), map_size=2**24)
    with environment.begin(write=True) as transaction:
        for number, text in enumerate(texts, start=1):
            content = line_picture(folder.parent / f"{folder.name}-{number}.png", text)
            transaction.put(f"image-{number:09d}".encode(), content)
            transaction.put(f"label-{number:09d}".encode(), text.encode())
        transaction.put(b"num-samples", str(len(texts) if said is None else said).encode())
    environment.close()
    return folder


def text_recognition(folder: Path) -> Path:
    """Two environments to learn from, one that chooses and one that judges."""
    words = ("one", "Two", "three", "4", "five", "sixes", "seven", "ate")
    write_lmdb(folder / "training" / "MJ" / "MJ_train", words)
    write_lmdb(folder / "training" / "ST", [f"{word}s" for word in words])
    write_lmdb(folder / "validation", ["un", "deux", "trois", "quatre"])
    write_lmdb(
        folder / "evaluation" / "IIIT5k_3000", ["eins", "zwei", "drei", "vier", "na\u00efve", "x" * 26]
    )
    return folder
