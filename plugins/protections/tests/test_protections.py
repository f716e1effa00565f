"""The defining property of each protection, and that the attack on it finds what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from faceinv_protections.adversarial import AdversarialProjection
from faceinv_protections.biohash import BioHash
from faceinv_protections.inlp import Inlp
from faceinv_protections.iom import IndexOfMax
from faceinv_protections.leace import Leace
from faceinv_protections.mlp_hash import MLPHash
from faceinv_protections.multi_ive import MultiIve
from faceinv_protections.negative import NegativeTemplate
from faceinv_protections.noise import Noise
from faceinv_protections.polyprotect import PolyProtect
from faceinv_protections.projection import RandomProjection, Truncate
from faceinv_protections.quantise import Quantise
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from faceinv.attack import Spread
from faceinv.contracts import Leak, Protection, ProtectionContext

DIM = 24
SCHEMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "random projection": (RandomProjection, {"dims": 16}),
    "truncation": (Truncate, {"dims": 16}),
    "quantisation": (Quantise, {"bits": 2}),
    "noise": (Noise, {"sigma": 0.3}),
    "negative": (NegativeTemplate, {}),
    "biohash": (BioHash, {"bits": 24}),
    "iom": (IndexOfMax, {"hashes": 64, "projections": 8}),
    "mlp-hash": (MLPHash, {"bits": 24, "layers": 1}),
    "polyprotect": (PolyProtect, {"overlap": 4}),
    "leace": (Leace, {}),
    "inlp": (Inlp, {"rounds": 2}),
    "multi-ive": (MultiIve, {"drop": 4}),
    "adversarial": (AdversarialProjection, {"steps": 3}),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def faces(n: int, seed: int = 0) -> Tensor:
    """Return descriptors of length 1 with unequal axes, as an encoder gives them."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(9)) * torch.linspace(1, 0.2, DIM)
    return normalize(torch.randn(n, DIM, generator=rng) @ mixing.T + 0.3)


def smiles(descriptors: Tensor) -> Tensor:
    """Return an attribute that half is linear in descriptors, ``(N, 1)``."""
    return descriptors[:, :1] + descriptors[:, 1:2] + 2 * descriptors[:, 2:3].abs()


CONTEXT = ProtectionContext(DIM, 0, lambda: faces(800), lambda name: smiles(faces(800)))


def scheme(name: str) -> Protection:
    factory, options = SCHEMES[name]
    built: Protection = factory(CONTEXT, **options)
    return built


def unexplained(inputs: Tensor, labels: Tensor) -> float:
    """Return the share of the labels' variance that the best linear reader of ``inputs`` leaves, on the same rows."""
    ones = torch.cat([inputs.double(), torch.ones(len(inputs), 1, dtype=torch.float64)], 1)
    found = torch.linalg.lstsq(ones, labels.double(), rcond=1e-5, driver="gelsd").solution
    return float((labels - ones @ found).square().mean() / labels.double().var(correction=0))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_template_depends_on_key_and_descriptor_alone_and_the_attack_beats_a_stranger(name: str) -> None:
    own, leaked = scheme(name), faces(6, seed=5)
    stored = own.protect(leaked, 7)
    assert torch.equal(stored, scheme(name).protect(leaked, 7))
    assert torch.equal(stored[2:4], own.protect(leaked[2:4], 7)) or torch.allclose(
        stored[2:4], own.protect(leaked[2:4], 7), atol=1e-6
    )
    scores = own.compare(stored, own.present(leaked, 7))
    assert (scores.argmax(1) == torch.arange(6)).all()
    found = own.recover([Leak(stored, 7)], faces(800)).descriptors
    cosines = cosine_similarity(normalize(found)[:, None], leaked[None], dim=2)
    assert cosines.diagonal().mean() > 0.7
    assert (cosines.argmax(1) == torch.arange(6)).all()


def test_biohash_has_orthonormal_rows_and_counts_equal_bits() -> None:
    own = BioHash(CONTEXT, bits=16)
    matrix = own.matrix(3)
    assert torch.allclose(matrix @ matrix.T, torch.eye(16, dtype=torch.float64), atol=1e-12)
    bits = own.protect(faces(5), 3)
    assert torch.equal(bits, (faces(5).double() @ matrix.T > 0).float())
    assert own.compare(bits, bits)[0, 1] == (bits[0] == bits[1]).float().mean()
    assert (own.protect(faces(5), 4) != bits).any()


def test_templates_under_several_keys_give_more_back_than_one() -> None:
    own, leaked = BioHash(CONTEXT, bits=DIM), faces(6, seed=5)
    leaks = [Leak(own.protect(leaked, key), key) for key in (1, 2, 3)]
    one, three = (
        cosine_similarity(own.recover(part, faces(800)).descriptors, leaked).mean() for part in (leaks[:1], leaks)
    )
    assert three > one


def test_averaging_undoes_renewed_noise() -> None:
    own, leaked = Noise(CONTEXT, sigma=1.0), faces(6, seed=5)
    leaks = [Leak(own.protect(leaked, key), key) for key in range(16)]
    one, many = (
        cosine_similarity(own.recover(part, faces(800)).descriptors, leaked).mean() for part in (leaks[:1], leaks)
    )
    assert many > one + 0.02
    assert (leaks[0].templates - leaked).norm(dim=1).mean() == pytest.approx(1, abs=0.2)


def test_a_projection_with_as_many_rows_as_numbers_hides_nothing() -> None:
    own, leaked = RandomProjection(CONTEXT, dims=DIM, orthonormal=False), faces(4, seed=3)
    found = own.recover([Leak(own.protect(leaked, 1), 1)], faces(800)).descriptors
    assert cosine_similarity(found, leaked).min() > 0.999


def test_truncation_keeps_the_axes_of_largest_variance() -> None:
    matrix = Truncate(CONTEXT, dims=4).matrix
    lengths = (faces(800).double() @ matrix.T).square().mean(0)
    assert (lengths.diff() < 0).all()
    assert lengths.sum() > (faces(800) @ torch.eye(DIM)[:4].T).square().mean(0).sum()
    assert torch.equal(Truncate(CONTEXT, dims=4, principal=False).protect(faces(3), 0), faces(3)[:, :4])


def test_one_bit_is_the_side_of_the_median_and_more_bits_lose_less() -> None:
    given = faces(50, seed=2)
    assert torch.equal(Quantise(CONTEXT, bits=1).protect(given, 0), (given > faces(800).median(0).values).float())
    lost = []
    for bits in (1, 2, 4):
        own = Quantise(CONTEXT, bits=bits)
        lost.append((1 - cosine_similarity(own._decoded(own.protect(given, 0)), given)).mean())
    assert lost[0] > lost[1] > lost[2]


def test_iom_stores_the_index_of_the_largest_projection() -> None:
    own = IndexOfMax(CONTEXT, hashes=5, projections=7)
    directions = own._directions(3)
    expected = [max(range(7), key=lambda k: float(directions[place, k] @ faces(1)[0].double())) for place in range(5)]
    assert own.protect(faces(1), 3)[0].tolist() == expected


def test_mlp_hash_has_orthonormal_layers_and_is_not_linear() -> None:
    own = MLPHash(CONTEXT, bits=16, layers=2)
    weights = own._weights(1)
    assert [tuple(matrix.shape) for matrix in weights] == [(DIM, DIM), (DIM, DIM), (16, DIM)]
    assert all(torch.allclose(w @ w.T, torch.eye(len(w), dtype=torch.float64), atol=1e-10) for w in weights)
    straight = faces(50).double() @ (weights[2] @ weights[1] @ weights[0]).T > 0
    assert 0.01 < (own.protect(faces(50), 1) != straight).float().mean() < 0.3


def test_polyprotect_is_its_formula() -> None:
    own, given = PolyProtect(CONTEXT, overlap=2, window=5), faces(1)
    coefficients, exponents = own.polynomial(11)
    assert len(set(coefficients.tolist())) == 5
    assert 0 not in coefficients
    assert sorted(exponents.tolist()) == [1, 2, 3, 4, 5]
    padded = [*given[0].tolist(), 0.0, 0.0]
    expected = [
        sum(
            c * padded[first + k] ** e
            for k, (c, e) in enumerate(zip(coefficients.tolist(), exponents.tolist(), strict=True))
        )
        for first in range(0, 22, 3)
    ]
    assert own.protect(given, 11)[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_a_negative_template_never_names_the_true_level() -> None:
    own, given = NegativeTemplate(CONTEXT, levels=3, enlarge=4), faces(20)
    stored, true = own.protect(given, 0), own.present(given, 0)
    assert stored.shape == (20, 4 * DIM)
    assert (stored != true).all()
    assert own.compare(stored, true).diagonal().eq(1).all()
    assert set(stored.unique().tolist()) == {0, 1, 2}


def test_leace_leaves_nothing_to_a_linear_reader_and_something_to_others() -> None:
    given, labels = faces(800), smiles(faces(800))
    erased = Leace(CONTEXT).protect(given, 0)
    assert unexplained(given, labels) < 0.9
    assert unexplained(erased, labels) == pytest.approx(1, abs=1e-6)
    assert unexplained(torch.cat([erased, erased.square()], 1), labels) < 0.9


def test_leace_is_that_of_its_authors() -> None:
    package = pytest.importorskip("concept_erasure", reason="concept-erasure is not installed")
    given, labels = faces(800).double(), smiles(faces(800)).double()
    theirs = package.LeaceEraser.fit(given, labels, shrinkage=False)(given)
    assert torch.allclose(Leace(CONTEXT).protect(given, 0).double(), theirs, atol=1e-5)


def test_hard_constraints_are_solved_as_scipy_solves_them() -> None:
    scipy = pytest.importorskip("scipy.optimize", reason="scipy is not installed")
    own, leaked, prior = BioHash(CONTEXT, bits=16), faces(3, seed=5), faces(800)
    stored, spread = own.protect(leaked, 7), Spread.of(prior)
    found = own.attacks()[1]([Leak(stored, 7)], prior).descriptors
    rows = (2 * stored.double() - 1)[:, :, None] * own.matrix(7)
    for row, descriptor in zip(rows, found, strict=True):
        through, least = (row @ spread.axes).numpy(), (0.3 / DIM**0.5 - row @ spread.mean).numpy()
        constraint = {"type": "ineq", "fun": lambda z, a=through, b=least: a @ z - b, "jac": lambda z, a=through: a}
        theirs = scipy.minimize(
            lambda z: z @ z / 2,
            torch.zeros(DIM).double().numpy(),
            jac=lambda z: z,
            method="SLSQP",
            constraints=[constraint],
        )
        expected = spread.descriptors(torch.from_numpy(theirs.x)[None])[0]
        assert cosine_similarity(descriptor.double(), expected, dim=0) > 0.9999


def test_least_squares_reach_the_values_of_the_template() -> None:
    own, leaked = PolyProtect(CONTEXT, overlap=4), faces(3, seed=5)
    stored = own.protect(leaked, 7)
    found = normalize(own.attacks()[1]([Leak(stored, 7)], faces(800)).descriptors)
    assert cosine_similarity(own.protect(found, 7), stored).min() > 0.9999


def test_inlp_is_that_of_ridge_regressions_trained_in_turn() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    given, labels = faces(800).double(), smiles(faces(800)).double()
    left, taken = given.clone(), []
    for _ in range(2):
        # Ours is a share of the mean variance; scikit-learn's is on the sum of squares.
        variance = float((left - left.mean(0)).square().sum(0).mean()) / (len(left) - 1)
        reader = linear.Ridge(1e-3 * variance * (len(left) - 1)).fit(left.numpy(), labels.numpy())
        direction = torch.from_numpy(reader.coef_).reshape(-1)
        for earlier in taken:
            direction = direction - (direction @ earlier) * earlier
        taken.append(direction / direction.norm())
        left = left - (left @ taken[-1])[:, None] * taken[-1]
    assert torch.allclose(Inlp(CONTEXT, rounds=2).protect(given, 0).double(), left, atol=1e-5)


def test_inlp_takes_one_direction_a_round() -> None:
    given, labels = faces(800), smiles(faces(800))
    for rounds in (1, 3):
        own = Inlp(CONTEXT, rounds=rounds)
        assert torch.allclose(own.matrix @ own.matrix, own.matrix, atol=1e-8)
        assert DIM - int(torch.linalg.matrix_rank(own.matrix, tol=1e-6)) == rounds
    assert unexplained(Inlp(CONTEXT, rounds=3).protect(given, 0), labels) > unexplained(given, labels)


def test_multi_ive_drops_what_the_attribute_is_read_from() -> None:
    given, labels = faces(800), smiles(faces(800))
    kept = MultiIve(CONTEXT, drop=8).protect(given, 0)
    assert kept.shape == (800, DIM - 8)
    first = given.double() @ torch.linalg.eigh(given.double().T.cov())[1][:, :-8]
    assert unexplained(kept, labels) > unexplained(first, labels)


def test_the_adversarial_projection_hides_more_with_more_weight_and_keeps_cosines() -> None:
    given, labels = faces(800), smiles(faces(800))
    free, strict = (AdversarialProjection(CONTEXT, weight=w, steps=40).protect(given, 0) for w in (0.0, 10.0))
    assert unexplained(strict, labels) > unexplained(free, labels) + 0.1
    assert (given @ given.T - free @ free.T).abs().mean() < 0.02
    assert torch.corrcoef(torch.stack([(given @ given.T).flatten(), (strict @ strict.T).flatten()]))[0, 1] > 0.5


@pytest.mark.parametrize(("name", "made"), [("biohash", 2), ("iom", 2), ("polyprotect", 2), ("leace", 1)])
def test_every_attack_made_for_a_scheme_beats_a_stranger(name: str, made: int) -> None:
    own, leaked = scheme(name), faces(6, seed=5)
    leaks = [Leak(own.protect(leaked, key), key) for key in (7, 8)]
    attacks = own.attacks()
    assert len({attack(leaks[:1], faces(400)).attack for attack in attacks}) == len(attacks) == made
    for attack in attacks:
        one, two = (cosine_similarity(attack(part, faces(400)).descriptors, leaked) for part in (leaks[:1], leaks))
        assert one.mean() > 0.7
        assert two.mean() > one.mean() - 0.02


def test_descriptors_under_hard_constraints_have_the_template() -> None:
    own, leaked = BioHash(CONTEXT, bits=16), faces(6, seed=5)
    stored = own.protect(leaked, 7)
    found = normalize(own.attacks()[1]([Leak(stored, 7)], faces(800)).descriptors)
    assert torch.equal(own.protect(found, 7), stored)
