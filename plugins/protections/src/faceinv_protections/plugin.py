"""The protections that this plugin declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faceinv import hookimpl
from faceinv.contracts import ProtectionSpec

#: Signs or indices under a key of each person.
_HASH: Mapping[str, Any] = {"keys": "person", "comparison": "hamming", "differentiable": False}
#: Attacks that several schemes have.
_LEAST_SQUARES, _LINEAR = "least squares, with the expected rest", "a linear map learnt from pairs"
_BIOHASHING = (
    "Teoh, Goh, Ngo: Random multispace quantization as an analytic mechanism for BioHashing of biometric and random "
    "identity inputs, TPAMI 2006"
)


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    return [*_reduced(), *_hashes(), *_erased()]


def _spec(name: str, target: str, summary: str, attack: str, /, **further: Any) -> ProtectionSpec:
    """Return the declaration of a scheme of this plugin."""
    target = f"faceinv_protections.{target}"
    return ProtectionSpec(name=name, target=target, summary=summary, attack=attack, licence="MIT", **further)


def _reduced() -> list[ProtectionSpec]:
    """Return the declarations of what leaves less of a descriptor, without hiding anything in particular."""
    return [
        _spec(
            "random-projection",
            "projection:RandomProjection",
            "Projections on fewer orthonormal or Gaussian directions drawn from a person's key",
            _LEAST_SQUARES,
            citation=_BIOHASHING,
            keys="person",
            ranges={"dims": (1, "dim")},
        ),
        _spec(
            "truncate",
            "projection:Truncate",
            "The first principal axes of the descriptor, or its first numbers",
            _LEAST_SQUARES,
            ranges={"dims": (1, "dim")},
        ),
        _spec(
            "quantise",
            "quantise:Quantise",
            "Every number of the descriptor on 2^bits levels; one bit is above or below the median",
            "L-BFGS on the logistic distance to the levels",
            output="symbols",
            differentiable=False,
            ranges={"bits": (1, 8)},
        ),
        _spec(
            "noise",
            "noise:Noise",
            "Normal noise added to every descriptor, drawn anew for each",
            _LINEAR,
            renewed=True,
            ranges={"sigma": (0, 100)},
        ),
        _spec(
            "negative",
            "negative:NegativeTemplate",
            "Negative face recognition: for each number a level that it is not on",
            "L-BFGS on the likelihood of the excluded levels",
            citation="Terhörst et al.: Unsupervised enhancement of soft-biometric privacy with negative face "
            "recognition, arXiv 2002.09181",
            **{**_HASH, "keys": "none"},
            output="symbols",
            ranges={"levels": (2, 16), "enlarge": (1, 64)},
        ),
    ]


def _hashes() -> list[ProtectionSpec]:
    """Return the declarations of hashes and polynomials under a person's key."""
    return [
        _spec(
            "biohash",
            "biohash:BioHash",
            "Signs of projections on orthonormal directions drawn from a person's key",
            "L-BFGS on the logistic loss of the bits",
            citation=_BIOHASHING,
            **_HASH,
            output="binary",
            ranges={"bits": (1, "dim")},
        ),
        _spec(
            "iom",
            "iom:IndexOfMax",
            "IoM hashing: the index of the largest of a few Gaussian projections, many times",
            "L-BFGS on the cross-entropy of the indices",
            citation="Jin et al.: Ranking-based locality sensitive hashing-enabled cancelable biometrics: "
            "index-of-max hashing, TIFS 2018, arXiv 1703.05455",
            **_HASH,
            output="symbols",
            ranges={"hashes": (1, 4096), "projections": (2, 256)},
        ),
        _spec(
            "mlp-hash",
            "mlp_hash:MLPHash",
            "Signs of the output of a network whose orthonormal weights a person's key draws",
            "L-BFGS on the logistic loss of the bits through the network",
            citation="Otroshi Shahreza, Krivokuća Hahn, Marcel: MLP-Hash, arXiv 2204.11054",
            **_HASH,
            output="binary",
            ranges={"bits": (1, "dim"), "layers": (1, 8)},
        ),
        _spec(
            "polyprotect",
            "polyprotect:PolyProtect",
            "Values of a polynomial over windows of the descriptor, its coefficients from a person's key",
            "L-BFGS on 1 − cos of the templates",
            citation="Krivokuća Hahn, Marcel: Towards protecting face embeddings in mobile face verification, "
            "TBIOM 2022",
            keys="person",
            ranges={"overlap": (0, 15), "window": (2, "dim"), "largest": (1, 1000)},
        ),
    ]


def _erased() -> list[ProtectionSpec]:
    """Return the declarations of what erases one attribute."""
    return [
        _spec(
            "leace",
            "leace:Leace",
            "The smallest affine change after which no linear reader of an attribute beats the mean",
            _LINEAR,
            citation="Belrose et al.: LEACE: perfect linear concept erasure in closed form, arXiv 2306.03819",
        ),
        _spec(
            "inlp",
            "inlp:Inlp",
            "Projection on the common null space of linear readers of an attribute, trained in turn",
            _LINEAR,
            citation="Ravfogel et al.: Null it out: guarding protected attributes by iterative nullspace projection, "
            "ACL 2020, arXiv 2004.07667",
            ranges={"rounds": (1, 100)},
        ),
        _spec(
            "multi-ive",
            "multi_ive:MultiIve",
            "Principal axes dropped that an ensemble of trees uses most to read an attribute",
            _LINEAR,
            citation="Terhörst et al.: Suppressing gender and age in face templates using incremental variable "
            "elimination, ICB 2019; Melzi et al.: Multi-IVE, WACV workshops 2023",
            ranges={"drop": (1, "dim")},
        ),
        _spec(
            "adversarial",
            "adversarial:AdversarialProjection",
            "A network that keeps the cosines of pairs while readers trained in turn lose an attribute",
            _LINEAR,
            citation="Li, Smith, Huber: ID2image, 2023 (future work); Dhar et al.: PASS, ICCV 2021; Elazar, Goldberg: "
            "Adversarial removal of demographic attributes from text data, EMNLP 2018",
            ranges={"weight": (0, 1000), "steps": (1, 100_000)},
        ),
    ]
