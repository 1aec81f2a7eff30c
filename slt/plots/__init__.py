"""Pictures of arrays: every function draws into `ax`, returns it, and neither shows nor saves anything."""

from slt.plots.over_training import over_training

__all__ = ["over_training"]
