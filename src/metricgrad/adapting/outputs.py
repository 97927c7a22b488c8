"""What an adaptation leaves in its folder beside the record: the map, ten lines that apply it, its facts."""

import json
from typing import TYPE_CHECKING

from metricgrad.projection import write_apply_script
from metricgrad.tune.checkpoint import write_atomically

if TYPE_CHECKING:
    from metricgrad.adapting.adapted import Adapted

__all__ = ["save"]


def save(found: "Adapted") -> None:
    """Write `adapter.safetensors`, `apply.py` and `adapted.json`; the verdict is that over the best control."""
    found.map.about.update(
        {
            "metric": found.metric,
            "verdict": (found.over or found.gain).outcome,
            "side": found.side,
            "question": found.parts.question,
        }
    )
    found.map.save(found.folder / "adapter.safetensors")
    write_apply_script(found.folder)
    text = json.dumps(found.facts, indent=1, default=float) + "\n"
    write_atomically(found.folder / "adapted.json", text.encode())
