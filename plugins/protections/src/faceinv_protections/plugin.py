"""The protections that this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ProtectionSpec

_LINEAR = "a linear map learnt from pairs"


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    return [*_reduced(), *_hashes(), *_erased()]


def _reduced() -> list[ProtectionSpec]:
    """Return the declarations of what leaves less of a descriptor, without hiding anything in particular."""
    return [
        ProtectionSpec(
            name="random-projection",
            summary="Projections on fewer orthonormal or Gaussian directions drawn from a person's key",
            target="faceinv_protections.projection:RandomProjection",
            licence="MIT",
            citation="Teoh, Goh, Ngo: Random multispace quantization as an analytic mechanism for BioHashing of "
            "biometric and random identity inputs, TPAMI 2006",
            keys="person",
            attack="least squares, with the expected rest",
            strength="dims",
            ranges={"dims": (1, "dim")},
        ),
        ProtectionSpec(
            name="truncate",
            summary="The first principal axes of the descriptor, or its first numbers",
            target="faceinv_protections.projection:Truncate",
            licence="MIT",
            attack="least squares, with the expected rest",
            strength="dims",
            ranges={"dims": (1, "dim")},
        ),
        ProtectionSpec(
            name="quantise",
            summary="Every number of the descriptor on 2^bits levels; one bit is above or below the median",
            target="faceinv_protections.quantise:Quantise",
            licence="MIT",
            output="symbols",
            differentiable=False,
            attack="L-BFGS on the logistic distance to the levels",
            strength="bits",
            ranges={"bits": (1, 8)},
        ),
        ProtectionSpec(
            name="noise",
            summary="Normal noise added to every descriptor, drawn anew for each",
            target="faceinv_protections.noise:Noise",
            renewed=True,
            licence="MIT",
            attack=_LINEAR,
            strength="sigma",
            ranges={"sigma": (0, 100)},
        ),
        ProtectionSpec(
            name="negative",
            summary="Negative face recognition: for each number a level that it is not on",
            target="faceinv_protections.negative:NegativeTemplate",
            licence="MIT",
            citation="Terhörst et al.: Unsupervised enhancement of soft-biometric privacy with negative face "
            "recognition, arXiv 2002.09181",
            output="symbols",
            comparison="hamming",
            differentiable=False,
            attack="L-BFGS on the likelihood of the excluded levels",
            strength="levels",
            ranges={"levels": (2, 16), "enlarge": (1, 64)},
        ),
    ]


def _hashes() -> list[ProtectionSpec]:
    """Return the declarations of hashes and polynomials under a person's key."""
    return [
        ProtectionSpec(
            name="biohash",
            summary="Signs of projections on orthonormal directions drawn from a person's key",
            target="faceinv_protections.biohash:BioHash",
            licence="MIT",
            citation="Teoh, Goh, Ngo: Random multispace quantization as an analytic mechanism for BioHashing of "
            "biometric and random identity inputs, TPAMI 2006",
            keys="person",
            output="binary",
            comparison="hamming",
            differentiable=False,
            attack="L-BFGS on the logistic loss of the bits",
            strength="bits",
            ranges={"bits": (1, "dim")},
        ),
        ProtectionSpec(
            name="iom",
            summary="IoM hashing: the index of the largest of a few Gaussian projections, many times",
            target="faceinv_protections.iom:IndexOfMax",
            licence="MIT",
            citation="Jin et al.: Ranking-based locality sensitive hashing-enabled cancelable biometrics: "
            "index-of-max hashing, TIFS 2018, arXiv 1703.05455",
            keys="person",
            output="symbols",
            comparison="hamming",
            differentiable=False,
            attack="L-BFGS on the cross-entropy of the indices",
            strength="hashes",
            ranges={"hashes": (1, 4096), "projections": (2, 256)},
        ),
        ProtectionSpec(
            name="mlp-hash",
            summary="Signs of the output of a network whose orthonormal weights a person's key draws",
            target="faceinv_protections.mlp_hash:MLPHash",
            licence="MIT",
            citation="Otroshi Shahreza, Krivokuća Hahn, Marcel: MLP-Hash, arXiv 2204.11054",
            keys="person",
            output="binary",
            comparison="hamming",
            differentiable=False,
            attack="L-BFGS on the logistic loss of the bits through the network",
            strength="bits",
            ranges={"bits": (1, "dim"), "layers": (1, 8)},
        ),
        ProtectionSpec(
            name="polyprotect",
            summary="Values of a polynomial over windows of the descriptor, its coefficients from a person's key",
            target="faceinv_protections.polyprotect:PolyProtect",
            licence="MIT",
            citation="Krivokuća Hahn, Marcel: Towards protecting face embeddings in mobile face verification, "
            "TBIOM 2022",
            keys="person",
            attack="L-BFGS on 1 − cos of the templates",
            strength="overlap",
            ranges={"overlap": (0, 15), "window": (2, "dim"), "largest": (1, 1000)},
        ),
    ]


def _erased() -> list[ProtectionSpec]:
    """Return the declarations of what erases one attribute."""
    return [
        ProtectionSpec(
            name="leace",
            summary="The smallest affine change after which no linear reader of an attribute beats the mean",
            target="faceinv_protections.leace:Leace",
            licence="MIT",
            citation="Belrose et al.: LEACE: perfect linear concept erasure in closed form, arXiv 2306.03819",
            attack=_LINEAR,
        ),
        ProtectionSpec(
            name="inlp",
            summary="Projection on the common null space of linear readers of an attribute, trained in turn",
            target="faceinv_protections.inlp:Inlp",
            licence="MIT",
            citation="Ravfogel et al.: Null it out: guarding protected attributes by iterative nullspace projection, "
            "ACL 2020, arXiv 2004.07667",
            attack=_LINEAR,
            strength="rounds",
            ranges={"rounds": (1, 100)},
        ),
        ProtectionSpec(
            name="multi-ive",
            summary="Principal axes dropped that an ensemble of trees uses most to read an attribute",
            target="faceinv_protections.multi_ive:MultiIve",
            licence="MIT",
            citation="Terhörst et al.: Suppressing gender and age in face templates using incremental variable "
            "elimination, ICB 2019; Melzi et al.: Multi-IVE, WACV workshops 2023",
            attack=_LINEAR,
            strength="drop",
            ranges={"drop": (1, "dim")},
        ),
        ProtectionSpec(
            name="adversarial",
            summary="A network that keeps the cosines of pairs while readers trained in turn lose an attribute",
            target="faceinv_protections.adversarial:AdversarialProjection",
            licence="MIT",
            citation="Li, Smith, Huber: ID2image, 2023 (future work); Dhar et al.: PASS, ICCV 2021; Elazar, Goldberg: "
            "Adversarial removal of demographic attributes from text data, EMNLP 2018",
            attack=_LINEAR,
            strength="weight",
            ranges={"weight": (0, 1000), "steps": (1, 100_000)},
        ),
    ]
