"""What a suite of checks found, as a table, and the error that names what failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from slt.errors import ContractError

_HEAD: tuple[str, ...] = ("check", "what was measured", "z", "")


@dataclass(frozen=True)
class Check:
    """One thing that was asked of a sampler.

    Attributes:
        name: Which check, one of `slt.testing.CHECKS`.
        measured: What was measured, with its numbers.
        passed: Whether it is as it should be.
        z: Standard errors between what was measured and what should have been; None where there is no error.
    """

    name: str
    measured: str
    passed: bool
    z: float | None = None

    def __str__(self) -> str:
        """Say the check in a line."""
        z = "" if self.z is None else f" (z = {self.z:+.1f})"
        return f"{self.name}: {self.measured}{z}"


@dataclass(frozen=True, repr=False)
class Report:
    """What the checks of one sampler found.

    Attributes:
        sampler: The sampler's repr.
        checks: All checks that were made.

    >>> checks = Check("energy", "4.41 for 4.00", False, 9.8), Check("frozen", "0 of 9 moved", True)
    >>> print(Report("MySampler()", checks))
    MySampler(): 1 of 2 checks failed
      check   what was measured     z
      energy  4.41 for 4.00      +9.8  FAILED
      frozen  0 of 9 moved             passed
    """

    sampler: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return not self.failed

    def require(self) -> "Report":
        """Return this report if every check passed.

        Returns:
            This report.

        Raises:
            ContractError: If a check failed; it names what failed and carries the report.
        """
        if self.passed:
            return self
        lines = "\n".join(f"  {check}" for check in self.failed)
        raise ContractError(f"{self.sampler} must pass every check, but:\n{lines}", self)

    def __str__(self) -> str:
        """Lay the checks out as a table."""
        count = len(self.checks)
        said = f"all {count} checks passed" if self.passed else f"{len(self.failed)} of {count} checks failed"
        return "\n".join([f"{self.sampler}: {said}", *_table(self.checks)])

    __repr__ = __str__


def _table(checks: Sequence[Check]) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEAD]
    for check in checks:
        z = "" if check.z is None else f"{check.z:+.1f}"
        rows.append((check.name, check.measured, z, "passed" if check.passed else "FAILED"))
    name, measured, z = (max(len(row[i]) for row in rows) for i in range(3))
    return [f"  {a:{name}}  {b:{measured}}  {c:>{z}}  {d}".rstrip() for a, b, c, d in rows]
