"""Every Python block of the documentation runs as it stands, those of a page one after the other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = Path(__file__).parent
RUN_ELSEWHERE = {
    "adapt": "cli/test_adapt_page.py",
    "adapt-table": "cli/test_adapt_table_page.py",
    "adding-a-command": "adding/test_pages.py",
    "adding-a-loss": "adding/test_pages.py",
    "adding-a-method": "adding/test_pages.py",
    "adding-a-task": "adding/test_pages.py",
    "adding-an-output-kind": "adding/test_pages.py",
    "black-box": "methods/test_peft.py",
    "checking-a-loss": "testing/test_checking_page.py",
    "closed-forms": "projection/test_page.py",
    "comparing": "cli/test_comparing_page.py",
    "complement-entropy": "losses/test_complement_page.py",
    "decision-rules": "decision/test_page.py",
    "evaluating": "cli/test_evaluating_page.py",
    "one-definition": "losses/test_one_definition_page.py",
    "pairs": "tune/test_pairs_page.py",
    "processes": "tune/test_local_workers.py",
    "program-metric": "cli/test_program_page.py",
    "side-metrics": "tune/test_side_metrics_page.py",
    "supporting": "adapters/test_page.py",
    "your-own-data": "tune/test_your_own_data.py",
    "your-own-metric": "learned/test_your_own_metric.py",
}
"""Pages whose commands or printed lines are compared, too, and the test that does so."""
PAGES = [
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if "\n```python\n" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in RUN_ELSEWHERE], ids=lambda page: page.stem
)
def test_the_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {"__name__": page.stem}
    for block in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, str(page), "exec"), found)  # noqa: S102 (our own pages)


def test_the_other_pages_have_a_test() -> None:
    """It names the page, and no page is listed that has nothing to run."""
    assert set(RUN_ELSEWHERE) <= {page.stem for page in PAGES}
    for page, test in RUN_ELSEWHERE.items():
        named = f"{page.partition('-')[0]}-*" if test.startswith("adding/") else page
        of_page = TESTS / test.replace("test_pages", "pages")
        assert named in of_page.read_text(encoding="utf-8"), page
