"""The suite that every sampler must pass, and the proof that it catches one that must not."""

from collections.abc import Callable, Iterator, Sequence

from slt.errors import ContractError, SettingsError
from slt.samplers import Sampler
from slt.testing import bits, laws
from slt.testing.laws import StatedLaw, Subject
from slt.testing.report import Check, Report
from slt.testing.runs import Runs

_CHECKS: dict[str, Callable[[Subject], Iterator[Check]]] = {
    "protocol": bits.check_protocol,
    "recorded": bits.check_recorded,
    "cloned": bits.check_cloned,
    "grouping": bits.check_grouping,
    "constant": bits.check_constant,
    "frozen": bits.check_frozen,
    "untouched": bits.check_untouched,
    "energy": laws.check_energy,
    "virial": laws.check_virial,
    "permuted": laws.check_permuted,
    "padded": laws.check_padded,
    "order": laws.check_order,
}
CHECKS = tuple(_CHECKS)
"""The names of all checks, in the order in which they are made."""


def check_sampler(
    sampler: Sampler,
    *,
    law: StatedLaw | None = None,
    order: float | None = None,
    only: Sequence[str] | None = None,
    seed: int = 0,
) -> Report:
    r"""Hold a sampler against everything that `slt` asks of one: its law, its invariances, its promises to the bit.

    The law is tested on quadratics (`Well`): the mean energy of an exact sampler is
    :math:`\frac12 \sum n\beta h / (n\beta h + \gamma)`, within four errors of at least 20,000 effective draws times
    dimension, so that a mean energy wrong by 5 % is caught. An unadjusted sampler has a law of its own: stated by
    `law`, or else its bias must not grow as the step shrinks and be below 1 % at the step size that it was given or
    has found, which is shown at four, two and one times that step.

    ============== ==========================================================================================
    protocol       the fields of `Info`, and a repr that tells the settings and nothing else
    recorded       excess and virial are those of the position that enters the step
    cloned         a step from a cloned state gives the same bits, and changes nothing but its state
    grouping       a chain is the same alone, among others, or in place; another seed is another run
    constant       a constant added to the loss changes no draw
    frozen         what does not move stays at w* to the bit, whole tensors and masked entries
    untouched      the model is bit-identical afterwards, its gradients and flags too
    energy         the law of the energy, on all data, and on minibatches if the sampler takes them
    virial         E[(w - w*) . grad U] is the dimension, for exact samplers
    permuted       the same law whichever parameter is which
    padded         the same law beside parameters on which the loss does not depend
    order          rejections vanish with the step as fast as `order` says
    ============== ==========================================================================================

    Args:
        sampler: What to check. A fixed step size must suit curvatures of U from 150 to 450; it cannot name
            parameters, as `slt.Diagonal` does.
        law: From a `Well` and the tuning, a mapping such as ``{"step_size": 1e-4}``, to the mean energy that the
            sampler should have; for unadjusted samplers. Without it their Tuning must hold a `step_size`.
        order: Power of `step_size` with which mean rejections vanish, such as 2 for leapfrogs and 3/2 for MALA. A
            wrong proposal inside a Metropolis test stays exact, and shows here alone. None leaves the check out.
        only: Names of the checks to make; None makes them all.
        seed: Seed of all randomness.

    Returns:
        The report; ``.require()`` raises if anything failed.

    Raises:
        SettingsError: If a name is not one of `CHECKS`.

    >>> import slt
    >>> report = check_sampler(slt.HMC(leapfrogs=2), only=["protocol", "cloned"])
    >>> report.passed
    True
    """
    names = CHECKS if only is None else tuple(only)
    if unknown := sorted(set(names) - set(CHECKS)):
        raise SettingsError(f"only must name checks among {list(CHECKS)}, got {unknown}.")
    subject = Subject(sampler, law, order, Runs(sampler, seed))
    found: list[Check] = []
    for name in names:
        try:
            found += _CHECKS[name](subject)
        except ContractError as error:
            found.append(Check(name, str(error), False))
    return Report(repr(sampler), tuple(found))


def require_caught(
    broken: Sampler,
    by: Sequence[str],
    *,
    law: StatedLaw | None = None,
    order: float | None = None,
    seed: int = 0,
) -> Report:
    """Show that a deliberately broken sampler does not pass: a check that nothing fails proves nothing.

    Args:
        broken: A sampler with a fault, such as a subclass whose noise is 5 % too large.
        by: The checks that must fail, each of them.
        law: As in `check_sampler`.
        order: As in `check_sampler`.
        seed: Seed of all randomness.

    Returns:
        The report.

    Raises:
        ContractError: If one of the checks passed.

    >>> import slt
    >>> class Forgetful(slt.HMC):
    ...     def step(self, posterior, state, tuning, nbeta, random, t):
    ...         state, info = super().step(posterior, state, tuning, nbeta, random, t)
    ...         return state, info._replace(excess=state.excess)  # of the position that LEAVES the step
    >>> [check.name for check in require_caught(Forgetful(leapfrogs=2), by=["recorded"]).failed]
    ['recorded']
    """
    report = check_sampler(broken, law=law, order=order, only=by, seed=seed)
    failed = {check.name for check in report.failed}
    if passed := [name for name in by if name not in failed]:
        raise ContractError(f"{broken!r} is broken and must fail {', '.join(passed)}, but passed:\n{report}", report)
    return report
