"""Start, controls, contenders: who takes part in a run, under which name, with which tries."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from metricgrad._checks import caller, describe, fail
from metricgrad._closed_form_records import TriedForm
from metricgrad._records import Entrant, Role
from metricgrad._types import Method, Metric
from metricgrad.methods.control import road_for_loss
from metricgrad.methods.families import roads as roads_named
from metricgrad.methods.road import Road
from metricgrad.tune.projected import Head

__all__ = [
    "PORTFOLIO",
    "PROXY",
    "Arm",
    "Attempt",
    "Contender",
    "arm_of",
    "check_names",
    "check_proxy",
    "shared_tries",
]

PROXY = "proxy"
"""As the method of a control: the loss that the model was trained with."""

PORTFOLIO = "the portfolio"
"""As the method of an arm that trains nothing and chooses among others."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


@dataclass(frozen=True)
class Attempt:
    """A road with settings."""

    road: Road
    settings: BaseModel

    def make(self) -> Method:
        """Make the method."""
        return self.road.make(self.settings)


@dataclass(frozen=True)
class Arm:
    """One arm: the roads and settings that it may try, as many as every other arm.

    Attributes:
        name: free, but for the start's; part of file names, and unique whatever the case of its letters.
        role: start, control or contender.
        attempts: what it may try; none of a start that is not trained, and of a derived arm.
        members: of a portfolio, the names of the arms that it chooses from once they are trained.
        made: what a control is that trains nothing, in words.
        head: of such a control, what stands for it, where that was given; None: it is made once the start is there.
        tried: then what it was chosen among, with the values on select.
    """

    name: str
    role: Role
    attempts: Sequence[Attempt] = ()
    members: Sequence[str] = ()
    made: str = ""
    head: Head | None = None
    tried: Sequence[TriedForm] = ()

    @property
    def derived(self) -> bool:
        """Whether it trains nothing and is made once the others are trained."""
        return bool(self.members or self.made)

    @property
    def method(self) -> str:
        """Names of its roads, each once; what a derived arm is."""
        if self.derived:
            return PORTFOLIO if self.members else self.made
        return ", ".join(dict.fromkeys(attempt.road.name for attempt in self.attempts))

    @property
    def entrant(self) -> Entrant:
        """What the record says of it."""
        return Entrant(self.name, self.role, self.method, list(self.members), self.derived)


@dataclass(frozen=True)
class Contender:
    """A method with settings that takes part in a run under a name.

    Args:
        name: at most 64 letters, digits and `. _ + -`; no other arm of the run may have it.
        method: `auto` or `family:objective`; several, parted by commas, share the tries. Of a control also `proxy`: the
            loss that the model was trained with.
        settings: of the method; a list of them is one for each try, in place of those that are drawn.

    Example:
        >>> Contender("hot", "surrogate:recall_at_k", {"objective": {"temperature": 0.2}}).name
        'hot'
    """

    name: str
    method: str = "auto"
    settings: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        """Raise InputError where a part is of another type than it should be."""
        if not isinstance(self.method, str):
            raise fail(
                f"the arm {self.name}", f"method is {describe(self.method)}", "'auto' or family:objective"
            )
        given = self.settings if isinstance(self.settings, list | tuple) else [self.settings or {}]
        if not all(isinstance(one, Mapping) for one in given):
            raise fail(
                f"the arm {self.name}",
                f"settings are {describe(self.settings)}",
                "a dict of settings by name, or a list of them",
            )

    @property
    def first_settings(self) -> Mapping[str, Any]:
        """The settings of the first try."""
        listed: Any = self.settings if isinstance(self.settings, list | tuple) else [self.settings]
        return (listed[0] if listed else None) or {}


def shared_tries(roads: Sequence[Road], given: Mapping[str, Any], tries: int) -> list[Attempt]:
    """Share the tries out among roads, the first ones getting what is left over.

    Args:
        roads: one or several.
        given: settings; what belongs to the objective is the first road's and no other's.
        tries: of all roads together.

    Raises:
        InputError: fewer tries than roads, or a setting that does not fit.
    """
    if tries < len(roads):
        raise fail(
            caller(),
            f"{tries} tries for {len(roads)} methods",
            "at least one a method",
            "Give more tries (plan.tries, --tries), or fewer methods.",
        )
    common = {key: value for key, value in given.items() if key != "objective"}
    attempts = []
    for number, road in enumerate(roads):
        share = tries // len(roads) + (number < tries % len(roads))
        attempts += [Attempt(road, one) for one in road.attempts(common if number else given, share)]
    return attempts


def check_names(arms: Sequence[Arm]) -> None:
    """Raise InputError unless every arm has a name of its own that can be part of a file name."""
    for place, arm in enumerate(arms):
        if not isinstance(arm.name, str) or not _NAME.fullmatch(arm.name):
            raise fail(
                caller(),
                f"an arm is called {describe(arm.name)}",
                "at most 64 letters, digits and . _ + -, beginning with a letter or a digit",
                "Its name becomes part of file names.",
            )
        for other in arms[:place]:
            if arm.name.lower() == other.name.lower():
                raise fail(
                    caller(),
                    f"two arms are called {other.name!r} and {arm.name!r}",
                    "a name of its own for every arm",
                    "Some file systems do not tell large letters from small ones.",
                )


def arm_of(one: Contender, role: Role, metric: Metric, proxy: Any, tries: int) -> Arm:
    """The arm of a contender or control, with its tries."""
    if one.method == PROXY and proxy is None:
        raise fail(
            caller(), f"the control {one.name} without a proxy", "a proxy: the control trains on with it"
        )
    roads = [road_for_loss(proxy)] if one.method == PROXY else roads_named(one.method, metric, proxy)
    given = one.settings or {}
    if isinstance(given, Mapping):
        return Arm(one.name, role, shared_tries(roads, given, tries))
    return Arm(one.name, role, _listed_tries(one.name, roads, given, tries))


def _listed_tries(
    name: str, roads: Sequence[Road], given: Sequence[Mapping[str, Any]], tries: int
) -> list[Attempt]:
    """The tries whose settings are listed."""
    if len(roads) != 1 or len(given) != tries:
        raise fail(
            caller(),
            f"{name} lists {len(given)} settings for {len(roads)} methods, and every arm has {tries} tries",
            "one method, and settings for each try (plan.tries)",
        )
    return [Attempt(roads[0], roads[0].attempts(settings, 1)[0]) for settings in given]


def check_proxy(proxy: Any) -> None:
    """Raise InputError where the loss of a control cannot be trained with."""
    road_for_loss(proxy)
