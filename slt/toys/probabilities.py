"""Factorizations with entries that are probabilities or not negative, and cells of true probability 0."""

from collections.abc import Sequence
from fractions import Fraction
from math import log

import torch
from torch import Tensor, nn

from slt import analytic
from slt.analytic.checks import integer
from slt.toys.finite_states import StatesModel, even_power, excess_ratio, parameter, relative_entropy, with_reference
from slt.toys.toy import Toy
from slt.toys.toy import rows as sample

_HALF = Fraction(1, 2)


class TopicModel(StatesModel):
    """The probabilities A B of words in documents; A and B have columns that are probabilities.

    Attributes:
        words: Logits of the words in each topic, beside the first word's 0: shape (M - 1, H).
        topics: Logits of the topics in each document, beside the first topic's 0: shape (H - 1, N).
    """

    def __init__(self, words: Tensor, topics: Tensor) -> None:
        """Start at these probabilities, shapes (M, H) and (H, N)."""
        super().__init__()
        self.words = parameter((words / words[:1]).log()[1:])
        self.topics = parameter((topics / topics[:1]).log()[1:])

    def log_probabilities(self) -> Tensor:
        """Return the logs of A B, all words of the first document, of the second, ...: shape (N M,)."""
        words, topics = (with_reference(logits).log_softmax(0) for logits in (self.words, self.topics))
        return torch.logsumexp(words[:, :, None] + topics, 1).T.flatten()


class NonNegativeProduct(nn.Module):
    """X Y for X and Y that are even powers, elementwise.

    Attributes:
        left: Shape (M, H); X is its power `powers[0]`.
        right: Shape (H, N); Y is its power `powers[1]`.
    """

    def __init__(self, rows: int, columns: int, hidden: int, powers: tuple[int, int]) -> None:
        """Start at 0."""
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(rows, hidden)), nn.Parameter(torch.zeros(hidden, columns))
        self.powers = powers

    def forward(self, *args: object) -> Tensor:
        """Return X Y, shape (M, N).

        Args:
            *args: A batch, ignored.
        """
        return (self.left ** self.powers[0]) @ (self.right ** self.powers[1])


class Multinomial(nn.Module):
    """Cell probabilities in proportion to 1, e^l for logits l, and theta^e for the cells that truly have none.

    Attributes:
        cells: Shape (k - 1,), for all cells but the first: k - 1 - z logits, then z roots theta.
    """

    def __init__(self, cells: int, zeros: int, power: int) -> None:
        """Start at 0: equal probabilities, and none in the last z cells."""
        super().__init__()
        self.cells = nn.Parameter(torch.zeros(cells - 1))
        self._possible, self._power = cells - zeros, power

    def forward(self, *args: object) -> tuple[Tensor, Tensor]:
        """Return t, shape (k - z,), the logs of the possible cells beside the truth's, and the others, shape (z,).

        Args:
            *args: A batch, ignored.
        """
        logits = with_reference(self.cells)[: self._possible]
        roots = self.cells[self._possible - 1 :]
        top = logits.detach().amax()
        # not by a logarithm of theta^e, which is 0 at w*
        total = (logits - top).exp().sum() + (roots**self._power * (-top).exp()).sum()
        scale = total.log() + top
        return logits - scale + log(self._possible), roots**self._power * (-scale).exp()


def multinomial_divergence(model: Multinomial, batch: tuple[Tensor, ...]) -> Tensor:
    """K = KL(q || p) in nats, a scalar, whatever the batch; a cell that truly has probability 0 adds its own."""
    t, others = model(*batch)
    return excess_ratio(t).mean() + others.sum()


def squared_norm(model: NonNegativeProduct, batch: tuple[Tensor, ...]) -> Tensor:
    """K = ||X Y||_F^2 in nats, a scalar, whatever the batch."""
    return model(*batch).square().sum()


def lda(vocabulary: int, documents: int, topics: int, rank: int = 0, *, n: int = 1000) -> Toy:
    r"""The toy of latent Dirichlet allocation: the words of N documents, whose laws are the columns of A B.

    .. math:: K = \frac1N \sum_j \mathrm{KL}\big((A_0 B_0)_j \,\|\, (A B)_j\big)

    A (M x H) and B (H x N) are softmaxes of logits. At w* r topics differ, all others are alike, and the share of
    each of the r varies over the documents while that of the others, but the last, does not: once the mean over
    documents is taken off, both factors have exactly the rank r of the truth, as at the balanced points of
    `slt.analytic.reduced_rank_regression`, where the local lambda is the least.

    Args:
        vocabulary: M >= 2 words.
        documents: N >= 1.
        topics: H >= 2.
        rank: r, from 0 to the smallest of the three less 1.
        n: The number of data rows, >= 2; not the number of documents.

    Returns:
        The toy, with (M - 1) H + (H - 1) N parameters and the exact RLCT (Hayashi, 2021).

    Raises:
        InputError: If a number is no integer in its range.
        SettingsError: If n is not an integer >= 2.

    >>> lda(3, 3, topics=2, rank=1)
    Toy(lda(3, 3, 2, rank=1); 7 parameters, n=1000, exact rlct 5/2, multiplicity 1)
    """
    words, columns, count = (
        integer("vocabulary", vocabulary, 2),
        integer("documents", documents, 1),
        integer("topics", topics, 2),
    )
    exact = analytic.lda(words, columns, count, rank)
    options = {"dtype": torch.float64, "device": "cpu"}
    likely, given = torch.ones(words, count, **options), torch.ones(count, columns, **options)
    likely[words - 1] += 1  # in every topic the last word is twice as probable as the others,
    for topic in range(rank):
        likely[words - 1, topic], likely[topic, topic] = 1, 2  # but in the first r a word of their own is
        given[topic, topic] += 1  # and each of these has a document where it is twice as probable,
    given[-1] = count + 1 - given[:-1].sum(0)  # at the cost of the last topic
    model = TopicModel(likely / (words + 1), given / (count + 1))
    model.freeze_truth(model.log_probabilities().detach().exp() / columns)
    shown = f"{words}, {columns}, {count}" + (f", rank={rank}" if rank else "")
    return Toy(model, sample(n), relative_entropy, exact, f"lda({shown})")


def nmf(
    rows: int, columns: int, hidden: int, rank: int = 0, *, shapes: Sequence[Fraction] = (_HALF, _HALF), n: int = 1000
) -> Toy:
    r"""The toy of non-negative matrix factorization at truth 0, :math:`K = \|XY\|_F^2`, at w* = 0.

    The entries of X (M x H) and Y (H x N) are even powers :math:`\theta^{1/\varphi}` of the parameters, so that they
    are not negative, and a prior positive at theta = 0 is one like :math:`x^{\varphi - 1}`, a Gamma prior of the shape
    phi: 1/2 for squares.

    Args:
        rows: M >= 1.
        columns: N >= 1.
        hidden: H >= 1.
        rank: The rank of the truth: 0.
        shapes: (phi_x, phi_y), each a Fraction 1/2, 1/4, ...
        n: The number of data rows, >= 2.

    Returns:
        The toy, with H (M + N) parameters and the exact RLCT (Hayashi & Watanabe, 2017).

    Raises:
        InputError: If a number is no integer in its range, or a shape is not as above.
        NotAvailableError: If the rank is positive: then only bounds are known.
        SettingsError: If n is not an integer >= 2.

    >>> nmf(2, 3, hidden=2)
    Toy(nmf(2, 3, 2); 10 parameters, n=1000, exact rlct 1, multiplicity 1)
    """
    exact = analytic.nmf(rows, columns, hidden, rank, shapes=shapes)
    powers = even_power(shapes[0], "shapes[0]"), even_power(shapes[1], "shapes[1]")
    model = NonNegativeProduct(rows, columns, hidden, powers)
    shown = "" if powers == (2, 2) else f", shapes=(1/{powers[0]}, 1/{powers[1]})"
    return Toy(model, sample(n), squared_norm, exact, f"nmf({rows}, {columns}, {hidden}{shown})")


def multinomial_boundary(cells: int, zeros: int = 0, concentration: Fraction = _HALF, *, n: int = 1000) -> Toy:
    r"""The toy of a multinomial law with k cells, of which z have true probability 0 and the others equal ones.

    Beside the first cell, those that truly are possible have logits, and the others the weight
    :math:`\theta^{1/\varphi}`, an even power; w* = 0. A prior positive at theta = 0 is one like
    :math:`p^{\varphi - 1}`, that of a Dirichlet law of concentration phi. With squares, phi = 1/2, the boundary is
    like a regular point: K is quadratic in theta.

    Args:
        cells: k >= 2.
        zeros: z, from 0 to k - 1.
        concentration: phi, a Fraction 1/2, 1/4, ...
        n: The number of data rows, >= 2.

    Returns:
        The toy, with k - 1 parameters and the exact RLCT (k - 1 - z)/2 + z phi.

    Raises:
        InputError: If a number is no integer in its range, or phi is not as above.
        SettingsError: If n is not an integer >= 2.

    >>> multinomial_boundary(4, zeros=2, concentration=Fraction(1, 4))
    Toy(multinomial_boundary(4, 2, 1/4); 3 parameters, n=1000, exact rlct 1, multiplicity 1)
    """
    k = integer("cells", cells, 2)
    exact = analytic.multinomial_boundary(k, zeros, concentration)
    power = even_power(concentration, "concentration")
    name = f"multinomial_boundary({k}, {zeros}, 1/{power})"
    return Toy(Multinomial(k, zeros, power), sample(n), multinomial_divergence, exact, name)
