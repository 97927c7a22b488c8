"""What a check says: of every law whether it is kept, broken or left out, and of a broken one what came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch

from metricgrad._checks import fail, nearest
from metricgrad.errors import LawBroken

__all__ = ["Finding", "Law", "LeftOut", "Report", "judged_by"]


class LeftOut(Exception):
    """A law finds, while it looks, that it does not apply; the message is the reason."""


Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """What was found of one law.

    Attributes:
        law: its name.
        status: `kept`, `broken`, or `skipped`.
        expected: what the law says.
        came: what came instead, or why the law is left out.
    """

    law: str
    status: Literal["kept", "broken", "skipped"]
    expected: str
    came: str = ""


@dataclass(frozen=True)
class Report:
    """What was found of all laws.

    Attributes:
        name: of the loss or metric.
        findings: one per law.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[str]:
        """Names of the laws that are broken."""
        return [one.law for one in self.findings if one.status == "broken"]

    @property
    def ok(self) -> bool:
        """Whether no law is broken."""
        return not self.broken

    def __str__(self) -> str:
        """One line for the whole, then one or three per law."""
        kept, skipped = (sum(one.status == status for one in self.findings) for status in ("kept", "skipped"))
        lines = [f"{self.name}: {kept} laws kept, {len(self.broken)} broken, {skipped} left out"]
        for one in sorted(self.findings, key=lambda one: ("broken", "kept", "skipped").index(one.status)):
            if one.status == "broken":
                lines += [
                    f"  broken   {one.law}",
                    f"           came: {one.came}",
                    f"           expected: {one.expected}",
                ]
            else:
                lines.append(f"  {one.status:<8} {one.law}{': ' + one.came if one.came else ''}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Law(Generic[Subject]):
    """One law.

    Attributes:
        name: short.
        expected: what it says.
        came: subject -> what came instead, in words; empty where the law is kept.
        unless: subject -> why it does not apply; empty where it does.
    """

    name: str
    expected: str
    came: Callable[[Subject], str]
    unless: Callable[[Subject], str] = lambda subject: ""


def judged_by(
    caller: str,
    name: str,
    subject: Subject,
    laws: Sequence[Law[Subject]],
    skip: Mapping[str, str],
    *,
    raises: bool,
) -> Report:
    """Hold a subject to the laws.

    Args:
        caller: for messages.
        name: of the subject.
        subject: what the laws look at.
        laws: the first one says whether there is anything to look at: where it is broken the others are left out.
        skip: laws to leave out, each with the reason.
        raises: whether a broken law raises.

    Raises:
        LawBroken: a law is broken; the message is the report.
        InputError: a law to skip that there is none of, or without a reason.
    """
    known = [law.name for law in laws]
    for one, reason in skip.items():
        if one not in known:
            raise fail(caller, f"skip names the law {one!r}", ", ".join(known), nearest(str(one), known))
        if not isinstance(reason, str) or not reason.strip():
            raise fail(caller, f"skip gives {reason!r} for the law {one!r}", "the reason, in words")
    findings: list[Finding] = []
    for law in laws:
        reason = skip.get(law.name) or law.unless(subject)
        if findings and findings[0].status == "broken":
            reason = f"the law {findings[0].law!r} is broken"
        findings.append(
            Finding(law.name, "skipped", law.expected, reason) if reason else _found(law, subject)
        )
    report = Report(name, tuple(findings))
    if raises and not report.ok:
        raise LawBroken(report)
    return report


def _found(law: Law[Subject], subject: Subject) -> Finding:
    """Whether a subject keeps one law; to raise is to break it."""
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            came = law.came(subject)
    except LeftOut as reason:
        return Finding(law.name, "skipped", law.expected, str(reason))
    except Exception as error:  # whatever code of others raises
        said = " ".join(str(error).split())
        came = f"it raised {type(error).__name__}: {said if len(said) <= 200 else said[:197] + '...'}"
    return Finding(law.name, "broken" if came else "kept", law.expected, came)
