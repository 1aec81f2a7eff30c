"""What an explanation will need of memory, told before it starts."""

import torch
from torch.autograd.graph import saved_tensors_hooks

from slt.degeneracy.certificates import certificate_bytes
from slt.degeneracy.hessian import Curvature
from slt.degeneracy.jacobian import dense_bytes
from slt.degeneracy.precision import require_memory

_GRAPHS = 4  # of a forward pass: itself, the gradient's graph of about twice its size, and what goes back through both


def require_explanation(curvature: Curvature, *, dense: bool, steps: int) -> None:
    """Refuse an explanation that would not fit in memory.

    Up to the dense size it holds a few matrices of P^2 numbers; beyond, the vectors of a Lanczos run and a few factors
    a layer; at any size the graph of the gradient of one chunk of the data, which is measured on two examples.

    Args:
        curvature: The loss near w*.
        dense: Whether the Jacobian is decomposed whole.
        steps: Lanczos vectors that are held together.

    Raises:
        SettingsError: If less than that is free.
    """
    size = curvature.dimension
    if dense:
        require_memory(
            dense_bytes(size) + graph_bytes(curvature),
            f"an exact explanation of {size} entries",
            "choose fewer with parameters=",
        )
        return
    needed = 8.0 * size * (steps + 8) + certificate_bytes(curvature.network) + graph_bytes(curvature)
    require_memory(
        needed, f"a curve of {size} entries", "choose fewer with parameters=, or hand over data that chunks can cut"
    )


def graph_bytes(curvature: Curvature) -> float:
    """What the gradient of one chunk keeps for going back once more: linear in its examples, so two of them tell."""
    problem, held = curvature.problem, []
    for count in (1, min(2, problem.n)):
        sizes: dict[int, int] = {}

        def pack(t: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with saved_tensors_hooks(pack, lambda t: t):
            kept = curvature.network(
                curvature.network.center.clone().requires_grad_(), problem.batch(torch.arange(count, device="cpu"))
            )
        held.append(sum(sizes.values()))
        del kept
    rows = min(problem.chunk, problem.n)
    return _GRAPHS * float(held[0] + (rows - 1) * max(held[1] - held[0], 0))
