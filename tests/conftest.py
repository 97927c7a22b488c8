"""What holds for every test: checked annotations, and what happens without a GPU or a browser."""

import gc
import os
import shutil

import pytest
import torch

from tests import annotations

gc.disable()  # until everything is collected: what is imported stays, and is searched again and again for nothing
annotations.install()  # before the first import of metricgrad

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_configure(config: pytest.Config) -> None:
    """The check of annotations is told where a test begins; no drawn example fails because the machine is busy."""
    config.pluginmanager.register(annotations, "annotations")
    if config.pluginmanager.hasplugin("hypothesispytest"):  # not among the packages of the integrations
        from hypothesis import settings

        settings.register_profile("patient", settings.default, deadline=None)
        settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run; a missing browser is an error in CI, where scripts/test installs one.

    What takes minutes comes first, so that two processes end together.
    """
    items.sort(key=lambda item: not {"backbone", "timeout"} & {mark.name for mark in item.iter_markers()})
    no_gpu = pytest.mark.skip(reason="no CUDA device")
    no_browser = pytest.mark.skip(reason="no Chromium; scripts/setup --browser installs it where it can")
    browser_is_missing = not any(shutil.which(name) for name in BROWSERS) and not os.environ.get("CI")
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if "browser" in item.keywords and browser_is_missing:
            item.add_marker(no_browser)


def pytest_collection_finish() -> None:
    """Modules and tests are no garbage from now on; what a test makes is searched as ever."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator: every random number of a test comes from one."""
    return torch.Generator().manual_seed(20240229)
