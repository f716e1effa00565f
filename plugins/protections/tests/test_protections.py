"""The defining property of each protection, and that the attack on it finds what is there."""

from __future__ import annotations

import pytest
import torch
from faceinv_protections.biohash import BioHash
from faceinv_protections.quantise import Quantise
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from faceinv.contracts import Leak, ProtectionContext

DIM = 24


def faces(n: int, seed: int = 0) -> Tensor:
    """Return descriptors of length 1 with unequal axes, as an encoder gives them."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(9)) * torch.linspace(1, 0.2, DIM)
    return normalize(torch.randn(n, DIM, generator=rng) @ mixing.T + 0.3)


CONTEXT = ProtectionContext(DIM, 0, lambda: faces(800), lambda name: faces(800)[:, :1])


def test_biohash_has_orthonormal_rows_and_counts_equal_bits() -> None:
    scheme = BioHash(CONTEXT, bits=16)
    matrix = scheme.matrix(3)
    assert torch.allclose(matrix @ matrix.T, torch.eye(16, dtype=torch.float64), atol=1e-12)
    bits = scheme.protect(faces(5), 3)
    assert torch.equal(bits, (faces(5).double() @ matrix.T > 0).float())
    scores = scheme.compare(bits, bits)
    assert scores[0, 1] == (bits[0] == bits[1]).float().mean()
    assert (scheme.protect(faces(5), 4) != bits).any()


def test_a_known_key_gives_most_of_a_biohash_back_and_a_second_template_more() -> None:
    scheme, leaked = BioHash(CONTEXT, bits=DIM), faces(6, seed=5)
    leaks = [Leak(scheme.protect(leaked, key), key) for key in (1, 2, 3)]
    one, three = (
        cosine_similarity(scheme.recover(part, faces(800)).descriptors, leaked).mean() for part in (leaks[:1], leaks)
    )
    assert one > 0.8
    assert three > one


def test_one_bit_is_the_side_of_the_median_and_more_bits_lose_less() -> None:
    given = faces(50, seed=2)
    assert torch.equal(Quantise(CONTEXT, bits=1).protect(given, 0), (given > faces(800).median(0).values).float())
    own = [Quantise(CONTEXT, bits=bits) for bits in (1, 2, 4)]
    lost = [(1 - cosine_similarity(scheme._decoded(scheme.protect(given, 0)), given)).mean() for scheme in own]
    assert lost[0] > lost[1] > lost[2]
    recovered = own[1].recover([Leak(own[1].protect(given[:8], 0), 0)], faces(800)).descriptors
    assert cosine_similarity(recovered, given[:8]).mean() > 0.95


@pytest.mark.parametrize("scheme", [BioHash(CONTEXT, bits=16), Quantise(CONTEXT)])
def test_the_same_key_makes_the_same_template(scheme: BioHash | Quantise) -> None:
    assert torch.equal(scheme.protect(faces(3), 7), scheme.protect(faces(3), 7))
