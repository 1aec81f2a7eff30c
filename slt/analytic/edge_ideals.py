"""Sums of squared products of pairs, one pair for each edge of a graph."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from slt.analytic.checks import integers
from slt.analytic.entry import Entry
from slt.analytic.finite.law import Law
from slt.analytic.finite.monomials import separable
from slt.analytic.rlct import RLCT
from slt.errors import InputError

Edges = frozenset[tuple[int, int]]
"""Each edge in both directions: the edges of the bipartite double cover."""


def edge_ideal(edges: Sequence[Sequence[int]]) -> Entry:
    r"""The loss :math:`K(w) = \sum_{(i, j) \in E} w_i^2 w_j^2` of a graph with edges E.

    .. math:: \lambda = \frac{\tau^*(E)}{2} = \frac{\nu(E_2)}{4}

    where tau* is the fractional vertex cover number, and nu the number of edges in a largest matching of the
    bipartite double cover. m - 1 is the number of bipartite components that the matchings leave free: of the
    edges in some largest matching, between vertices that no largest matching misses.

    Args:
        edges: Pairs (i, j) of different vertices, shape (edges, 2), integers >= 0; vertices without an edge are
            flat directions and need not be named.

    Returns:
        The exact lambda and m: the monomials' Newton polyhedron (Howald, 2001), its linear program solved by
        matchings.

    Raises:
        InputError: If there is no edge, or one is no pair of different integers >= 0.

    >>> edge_ideal([(0, 1), (1, 2), (2, 0)]).rlct
    RLCT(3/4, 1)
    >>> edge_ideal([(0, 1), (1, 2), (2, 3), (3, 0)]).rlct
    RLCT(1, 2)
    """
    pairs = _pairs(edges)
    return Entry(
        rlct=pairwise_products(pairs),
        family="edge ideal",
        parameters={"edges": pairs},
        K="sum over edges ij of w_i^2 w_j^2",
        domain="a neighbourhood of 0 in R^d",
        prior="positive and continuous at 0",
        source="Howald (2001), Multiplier ideals of monomial ideals; the linear program solved by matchings",
        conditions="none",
        law=_law(pairs),
    )


def _law(pairs: Sequence[tuple[int, int]]) -> Law | None:
    vertices = 1 + max(max(pair) for pair in pairs)
    return separable({tuple(2 * (i in pair) for i in range(vertices)): Fraction(1) for pair in pairs})


def complete(vertices: int) -> list[tuple[int, int]]:
    """All pairs of vertices."""
    return [(i, j) for j in range(vertices) for i in range(j)]


def pairwise_products(pairs: Sequence[tuple[int, int]]) -> RLCT:
    """The RLCT of the edge ideal; without an edge there is no loss, and it is 0."""
    edges: Edges = frozenset(pairs) | {(j, i) for i, j in pairs}
    if not edges:
        return RLCT(Fraction(0), 1)
    size = _matching(edges)
    # an optimal fractional cover is 0 at vertices that some largest matching misses, and 1 at their neighbours
    missed = {i for i, _ in edges if _matching(_without(edges, i, None)) == size}
    decided = missed | {j for i, j in edges if i in missed}
    allowed = {
        (i, j)
        for i, j in edges
        if not decided & {i, j} and _matching(_without(edges, i, j)) == size - 1
    }  # fmt: skip
    return RLCT(Fraction(size, 4), 1 + _bipartite_components(allowed | {(j, i) for i, j in allowed}))


def _pairs(edges: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        raise InputError(f"edges must be a sequence of pairs of vertices, got {edges!r}.")
    listed = [integers(f"edges[{k}]", edge, 0) for k, edge in enumerate(edges)]
    pairs: list[tuple[int, int]] = []
    for k, pair in enumerate(listed):
        if len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"edges[{k}] must be a pair of different vertices, got {pair}.")
        pairs.append((pair[0], pair[1]))
    if not pairs:
        raise InputError("edges must have at least 1 element, got none.")
    return tuple(pairs)


def _without(edges: Edges, left: int, right: int | None) -> Edges:
    """The double cover less a left vertex, and a right one if named."""
    return frozenset((i, j) for i, j in edges if i != left and j != right)


def _matching(edges: Edges) -> int:
    """The size of a largest matching between left and right vertices, by augmenting paths."""
    neighbours: dict[int, list[int]] = {}
    for i, j in sorted(edges):
        neighbours.setdefault(i, []).append(j)
    partner: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j in neighbours[i]:
            if j not in seen:
                seen.add(j)
                if j not in partner or augment(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(augment(i, set()) for i in neighbours)


def _bipartite_components(edges: set[tuple[int, int]]) -> int:
    """How many connected components of the graph have no odd cycle; colours alternate along edges."""
    colour: dict[int, bool] = {}
    count = 0
    for start in sorted({i for i, _ in edges}):
        if start in colour:
            continue
        colour[start], queue, odd = True, [start], False
        while queue:
            i = queue.pop()
            for j in (b for a, b in edges if a == i):
                if j not in colour:
                    colour[j] = not colour[i]
                    queue.append(j)
                odd |= colour[j] == colour[i]
        count += not odd
    return count
