"""Write down which release of which package the tests of this folder ran with."""

import csv
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

VERSIONS = Path(__file__).with_name("versions.csv")
PASSED: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    """One more option."""
    parser.addoption(
        "--write-versions", action="store_true", help=f"write {VERSIONS.name} when all tests pass"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Count the tests that passed, for each package that their mark names."""
    report = (yield).get_result()
    if report.when == "call" and report.passed:
        PASSED.update(package for mark in item.iter_markers("integration") for package in mark.args)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table."""
    if exitstatus != pytest.ExitCode.OK or not session.config.getoption("--write-versions"):
        return
    found = [("python", platform.python_version(), ""), ("torch", version("torch").split("+")[0], "")]
    found += [(package, version(package), str(count)) for package, count in sorted(PASSED.items())]
    with VERSIONS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("package", "version", "tests"), *found])
