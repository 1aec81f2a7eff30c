"""The answer to "where does the degeneracy come from?", to be read, plotted and saved."""

import html
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slt.degeneracy.bounds import Bounds, Localized
from slt.degeneracy.causes import DATA, FLAT, KINDS, QUARTIC, REDUCIBLE, SYMMETRY, Cause
from slt.degeneracy.certificates import Certificate
from slt.degeneracy.flatness import Flatness
from slt.degeneracy.spectrum import SpectralCurve

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Where the degeneracy of a trained model comes from.

    Attributes:
        dimension: Moving entries, P.
        function: What null directions are null directions of: "outputs", "log_probs", "loss", or the user's function.
        rank: Rank of its Jacobian on the data (of the Hessian where the loss itself serves); an upper bound on it
            where `certificates` is not None.
        gap: Last singular value counted over the largest, and first not counted.
        scope: "function" where fresh inputs leave the rank as it is, else "these data".
        causes: The null space sorted; dimensions add up to P - rank.
        quartic: How many null directions the loss grows quartically along; None where this was not measured.
        sixth: How many grow as the sixth power.
        bounds: On the learning coefficient, with their conditions.
        localized: The value of `llc=` beside what the quadratic part gives, or None.
        flatness: Trace and top eigenvalue of the Hessian, beside their invariant versions.
        hessian_rank: Rank of the Hessian: that of the Jacobian where the Hessian is its Gauss-Newton part, else
            eigenvalues above 1e-12 of the largest in modulus; None where not all are known.
        ggn_rank: The same of the Gauss-Newton matrix; None likewise, and where the loss has none.
        lowest: Smallest eigenvalue (or Ritz value) of the Hessian.
        gradient: Norm of the gradient at w*.
        gain: What a Newton step would gain over all the data, in nats; None where not measured.
        eigenvalues: All eigenvalues of the Hessian, ascending, or None.
        curve: Numbers of eigenvalues below thresholds, where not all are known, else None.
        certificates: Nulls certified layer by layer where the Jacobian was not decomposed whole, else None.
        notes: What a reader should know.
    """

    dimension: int
    function: str
    rank: int
    gap: tuple[float | None, float | None]
    scope: str
    causes: list[Cause]
    quartic: int | None
    sixth: int | None
    bounds: Bounds
    localized: Localized | None
    flatness: Flatness
    hessian_rank: int | None
    ggn_rank: int | None
    lowest: float
    gradient: float
    gain: float | None
    eigenvalues: NDArray[np.float64] | None = None
    curve: SpectralCurve | None = None
    certificates: list[Certificate] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def nullity(self) -> int:
        """P - rank."""
        return self.dimension - self.rank

    def total(self, kind: str) -> int:
        """Null directions of one kind of cause."""
        return sum(cause.dimension for cause in self.causes if cause.kind == kind)

    def summary(self) -> str:
        """One paragraph in words."""
        least = "at least " if self.certificates is not None else ""
        text = f"Of {self.dimension:,} weights {least}{self.nullity:,} directions leave the {self.function} as they are"
        parts = [f"{self.total(kind):,} {_SAID[kind]}" for kind in KINDS if self.total(kind)]
        text += f": {_listed(parts)}." if parts else "."
        if self.quartic:
            text += f" Along {self.quartic} of them the loss grows, but only as the fourth power."
        if self.sixth:
            text += f" Along {self.sixth} it grows as the sixth."
        if self.scope != "function" and self.certificates is None:
            text += " More inputs would show more of the weights at work."
        return f"{text} For the learning coefficient lambda of this minimum: {self.bounds}."

    def __str__(self) -> str:
        """The paragraph, the table of causes, and the numbers behind them."""
        lines = [self.summary(), "", *self._table(), ""]
        last, first = (("none" if x is None else f"{x:.2g}") for x in self.gap)
        if self.certificates is None:
            lines.append(
                f"rank {self.rank} of {self.dimension} ({self.function}): last singular value counted {last} of the "
                f"largest, first dropped {first}; scope: {self.scope}"
            )
        lines.append(f"bounds: {self.bounds}")
        if self.localized is not None:
            lines.append(f"llc: {self.localized}")
        lines.append(self._minimum())
        lines.append(f"flatness: {self.flatness}")
        if self.curve is not None:
            lines.append(f"spectrum of the Hessian:\n{self.curve}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Give the same text."""
        return str(self)

    def _repr_html_(self) -> str:
        first, _, rest = str(self).partition("\n")
        return f"<p>{html.escape(first)}</p><pre>{html.escape(rest)}</pre>"

    def _table(self) -> list[str]:
        head = f"{'null directions':>15}  {'quartic':>7}  {'cause':20}  what, and which tensors carry it"
        lines = [head, "-" * len(head)]
        for cause in self.causes:
            quartic = "?" if cause.quartic is None else str(cause.quartic)
            top = sorted(cause.where.items(), key=lambda item: -item[1])[:3]
            carried = ", ".join(f"{name} {share:.1f}" for name, share in top)
            lines.append(f"{cause.dimension:>15}  {quartic:>7}  {cause.kind:20}  {cause.name} [{carried}]")
        lines.append(f"{self.nullity:>15}  {'?' if self.quartic is None else self.quartic:>7}  all")
        return lines

    def _minimum(self) -> str:
        ranks = []
        if self.hessian_rank is not None:
            ranks.append(f"rank of the Hessian {self.hessian_rank}")
        if self.ggn_rank is not None:
            ranks.append(f"of its Gauss-Newton part {self.ggn_rank}")
        text = ", ".join([*ranks, f"smallest eigenvalue {self.lowest:.3g}", f"gradient {self.gradient:.3g}"])
        if self.gain is not None:
            text += f", a Newton step would gain {self.gain:.2g} nats over all the data"
        if self.bounds.conditions.get("a local minimum") is False:
            text += "; w* is no minimum, so the Hessian need not vanish on symmetries: read the Gauss-Newton part"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Everything but pictures, in what JSON can write; null is no number.

        Returns:
            Nested dicts and lists.
        """
        record: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                *("dimension", "function", "rank", "nullity", "scope", "quartic", "sixth", "hessian_rank", "ggn_rank"),
                *("lowest", "gradient", "gain", "notes"),
            )
        }
        record["gap"] = list(self.gap)
        record["causes"] = [vars(cause) for cause in self.causes]
        record["bounds"] = {**vars(self.bounds), "hold": self.bounds.hold, "meet": self.bounds.meet}
        record["localized"] = None if self.localized is None else vars(self.localized)
        record["flatness"] = vars(self.flatness)
        record["eigenvalues"] = None if self.eigenvalues is None else self.eigenvalues.tolist()
        if self.curve is not None:
            record["curve"] = {
                key: value.tolist() if isinstance(value, np.ndarray) else value
                for key, value in vars(self.curve).items()
            }
        if self.certificates is not None:
            record["certificates"] = [vars(certificate) for certificate in self.certificates]
        record["summary"] = self.summary()
        return json.loads(json.dumps(record, allow_nan=False))

    def plot(self, *, axes: Any = None) -> "NDArray[Any]":
        """Draw the spectrum with the explained share by cause, and which tensors carry the null directions.

        Args:
            axes: Two axes; None makes a new figure.

        Returns:
            The axes, (2,).
        """
        from slt.degeneracy.picture import draw

        return draw(self, axes)


_SAID = {
    SYMMETRY: "are symmetries",
    DATA: "are null on these data alone",
    REDUCIBLE: "belong to units that could go",
    FLAT: "are flat to fourth order for no reason known here",
    QUARTIC: "are quartic for no reason known here",
    "unresolved": "are not resolved further",
}


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
