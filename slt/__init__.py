"""Singular learning theory for neural networks: how degenerate a trained model is, with an honest error.

`import slt` loads none of its modules: each name is loaded at first use, and `slt.analytic` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slt import analytic as analytic
    from slt import degeneracy as degeneracy
    from slt import diagnostics as diagnostics
    from slt import errors as errors
    from slt import observables as observables
    from slt import plots as plots
    from slt import testing as testing
    from slt import toys as toys
    from slt.analytic import RLCT as RLCT
    from slt.api import estimate_llc as estimate_llc
    from slt.checkpoints import sweep as sweep
    from slt.degeneracy import Explanation as Explanation
    from slt.degeneracy import FunctionalDimension as FunctionalDimension
    from slt.degeneracy import explain as explain
    from slt.degeneracy import functional_dimension as functional_dimension
    from slt.devinterp import from_devinterp as from_devinterp
    from slt.estimators import Estimate as Estimate
    from slt.estimators import llc as llc
    from slt.posterior import LocalPosterior as LocalPosterior
    from slt.problem import gaussian_loss as gaussian_loss
    from slt.running import Forecast as Forecast
    from slt.running import forecast as forecast
    from slt.running import sample as sample
    from slt.running.plan import Gradients as Gradients
    from slt.samplers import AUTO as AUTO
    from slt.samplers import HMC as HMC
    from slt.samplers import MALA as MALA
    from slt.samplers import SGLD as SGLD
    from slt.samplers import SGNHT as SGNHT
    from slt.samplers import Diagonal as Diagonal
    from slt.samplers import RMSprop as RMSprop
    from slt.samplers import ScaleMoves as ScaleMoves
    from slt.trace import Trace as Trace

    __version__: str

else:
    _MODULES = ("analytic", "degeneracy", "diagnostics", "errors", "observables", "plots", "testing", "toys")
    _NAMES = {
        "AUTO": "slt.samplers",
        "Diagonal": "slt.samplers",
        "Estimate": "slt.estimators",
        "Explanation": "slt.degeneracy",
        "Forecast": "slt.running",
        "FunctionalDimension": "slt.degeneracy",
        "Gradients": "slt.running.plan",
        "HMC": "slt.samplers",
        "LocalPosterior": "slt.posterior",
        "MALA": "slt.samplers",
        "RLCT": "slt.analytic",
        "RMSprop": "slt.samplers",
        "SGLD": "slt.samplers",
        "SGNHT": "slt.samplers",
        "ScaleMoves": "slt.samplers",
        "Trace": "slt.trace",
        "estimate_llc": "slt.api",
        "explain": "slt.degeneracy",
        "forecast": "slt.running",
        "functional_dimension": "slt.degeneracy",
        "from_devinterp": "slt.devinterp",
        "gaussian_loss": "slt.problem",
        "llc": "slt.estimators",
        "sample": "slt.running",
        "sweep": "slt.checkpoints",
    }
    __all__ = [*_MODULES, *_NAMES]

    def __getattr__(name: str) -> object:
        """Import the object called `name`, once."""
        if name in _MODULES:
            value = _import(f"slt.{name}")
        elif name in _NAMES:
            value = getattr(_import(_NAMES[name]), name)
        elif name == "__version__":
            value = import_module("importlib.metadata").version("slt-torch")
        else:
            raise AttributeError(f"module 'slt' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, loaded or not."""
        return sorted([*__all__, "__version__"])

    def _import(module: str) -> object:
        """Import a module; an AttributeError inside it must not look like a name that slt does not have."""
        try:
            return import_module(module)
        except AttributeError as error:
            raise ImportError(f"{module} cannot be imported: {error}") from error
