"""Whether a polynomial is positive off the coordinate planes on every compact face of its Newton polyhedron."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations
from math import comb, gcd

from slt.analytic._exact import dot, kernel_line, rank
from slt.analytic._roots import real_roots
from slt.errors import InputError

Exponent = tuple[int, ...]
Polynomial = Mapping[Exponent, Fraction]

_MOST_HYPERPLANES = 50_000
"""Beyond which the faces are not listed, and nothing is established."""


def positive_on_faces(polynomial: Polynomial, *, orthant: bool) -> bool:
    """Whether K is known to be positive, off the coordinate planes, on every compact face of its polyhedron.

    Then it lies between two multiples of the sum of its monomials' sizes near 0.

    Args:
        polynomial: The coefficient of each exponent.
        orthant: Whether all coordinates are >= 0.

    Returns:
        True if it is established; False if a face vanishes somewhere, or is of a kind that is not tested.

    Raises:
        InputError: If K is found to take negative values near 0, at a vertex or on a face of dimension 1.
    """
    if all(_positive(alpha, c, orthant) for alpha, c in polynomial.items()):
        return True
    d = len(next(iter(polynomial)))
    if comb(len(polynomial) + d, d) > _MOST_HYPERPLANES:
        return False
    faces = compact_faces(list(polynomial))
    for face in faces:
        ((alpha, *others),) = [sorted(face)]
        if not others and not _positive(alpha, polynomial[alpha], orthant):
            raise InputError(
                f"K must be >= 0 near 0, but its vertex {alpha} has coefficient {polynomial[alpha]}: a vertex needs "
                f"a positive coefficient{'' if orthant else ' and even exponents'}."
            )
    # a list, so that each face is looked at: any of them may show that K is no loss
    return all([_face_positive({alpha: polynomial[alpha] for alpha in face}, orthant) for face in faces])


def compact_faces(alphas: list[Exponent]) -> set[frozenset[Exponent]]:
    """The exponents on each compact face of conv(alphas) + R_+^d, vertices included."""
    facets = _facets(alphas)
    faces = {frozenset(points) for points, rays in facets if not rays}
    # every face is an intersection of facets; it is compact if no direction is in all of them
    known = {(frozenset(points), frozenset(rays)) for points, rays in facets}
    fresh = set(known)
    while fresh:
        met = {(p & q, r & s) for p, r in fresh for q, s in known}
        fresh = met - known
        known |= fresh
    return faces | {points for points, rays in known if points and not rays}


def _facets(alphas: list[Exponent]) -> list[tuple[list[Exponent], list[int]]]:
    """For each facet the exponents and the coordinate directions in it."""
    d = len(alphas[0])
    found: dict[tuple[Fraction, ...], tuple[list[Exponent], list[int]]] = {}
    for chosen in combinations([*alphas, *range(d)], d):
        points = [x for x in chosen if isinstance(x, tuple)]
        rays = [x for x in chosen if isinstance(x, int)]
        if not points:
            continue
        rows = [[a - b for a, b in zip(point, points[0], strict=True)] for point in points[1:]]
        rows += [[int(i == ray) for i in range(d)] for ray in rays]
        normal = kernel_line(rows, d)
        if normal is None:
            continue
        total = sum(normal)
        if total == 0:
            continue  # it has both signs: no support from below
        normal = tuple(x / total for x in normal)
        height = dot(normal, points[0])
        if min(normal) >= 0 and all(dot(normal, alpha) >= height for alpha in alphas):
            on = [alpha for alpha in alphas if dot(normal, alpha) == height]
            found[normal] = (on, [i for i in range(d) if normal[i] == 0])
    return list(found.values())


def _positive(alpha: Exponent, coefficient: Fraction, orthant: bool) -> bool:
    return coefficient > 0 and (orthant or not any(a % 2 for a in alpha))


def _face_positive(face: Polynomial, orthant: bool) -> bool:
    """Whether one face's part of K is positive off the coordinate planes; False if it is not known."""
    if all(_positive(alpha, c, orthant) for alpha, c in face.items()):
        return True
    first = min(face)
    differences = [[a - b for a, b in zip(alpha, first, strict=True)] for alpha in face]
    if rank(differences) == 1:
        # first is a vertex, as the smallest; K = w^first p(w^step), and the step has an odd entry
        lengths = [gcd(*row) for row in differences]
        unit = gcd(*lengths)
        p = {length // unit: c for length, c in zip(lengths, face.values(), strict=True)}
        roots, crossings = real_roots([p.get(i, Fraction(0)) for i in range(max(p) + 1)], positive_only=orthant)
        if crossings:
            raise InputError(f"K must be >= 0 near 0, but it changes its sign on the face {sorted(face)}.")
        return not roots
    return all(sum(alpha) == 2 for alpha in face) and _definite(face, len(first))


def _definite(form: Polynomial, d: int) -> bool:
    """Whether a quadratic form in the variables that occur in it is positive definite, by elimination."""
    used = [i for i in range(d) if any(alpha[i] for alpha in form)]
    matrix = [[Fraction(0)] * len(used) for _ in used]
    for alpha, c in form.items():
        i, j = [k for k, name in enumerate(used) for _ in range(alpha[name])]
        matrix[i][j] += c / 2
        matrix[j][i] += c / 2
    for k in range(len(used)):
        if matrix[k][k] <= 0:
            return False
        for i in range(k + 1, len(used)):
            factor = matrix[i][k] / matrix[k][k]
            matrix[i] = [x - factor * y for x, y in zip(matrix[i], matrix[k], strict=True)]
    return True
