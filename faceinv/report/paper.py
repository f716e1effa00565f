"""Values reported by the paper, shown next to measured ones.

Li, Smith, Huber: ID2image: Leakage of Non-ID Information into Face Descriptors and Inversion from
Descriptors to Images, SCIA 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "Li, Smith, Huber: ID2image, SCIA 2023"

#: Table 2: metric → objective → value, on 84 photographs (MoFA-Test), VGGFace2 inverted through StyleGAN2.
#: Its MSE has a scale of its own, that of the column ``mse_paper`` of the records.
TABLE_2: Mapping[str, Mapping[str, float]] = {
    "mse_paper": {"id": 2.05, "id,lm": 2.14, "id,lm,hist": 2.03},
    "psnr": {"id": 12.98, "id,lm": 13.21, "id,lm,hist": 13.35},
    "ssim": {"id": 0.14, "id,lm": 0.14, "id,lm,hist": 0.15},
}
#: Decimals that Table 2 prints.
TABLE_2_DIGITS = 2

#: Table 1: row → column → value as printed; shares of correct answers in %, errors in the units of the columns.
TABLE_1: Mapping[str, Mapping[str, str]] = {
    "From ID (VGGFace2)": {
        "smiling": "91.0 %", "wearing_hat": "99.0 %", "eyeglasses": "99.7 %", "landmarks": "9.3 %", "histogram": "2.68",
    },
    "From ID (ArcFace)": {
        "smiling": "81.7 %", "wearing_hat": "96.7 %", "eyeglasses": "96.7 %", "landmarks": "7.3 %", "histogram": "2.45",
    },
    "From image": {
        "smiling": "92 %", "wearing_hat": "99 %", "eyeglasses": "99 %", "landmarks": "8.2 %", "histogram": "0.0",
    },
    "Baseline": {
        "smiling": "50.4 %", "wearing_hat": "96.7 %", "eyeglasses": "94.0 %", "landmarks": "11 %", "histogram": "2.97",
    },
}  # fmt: skip

#: Figure 9: mean cosine of reconstruction and target on VGGFace, MoFA-Test. The last three methods were given the
#: photograph.
FIGURE_9: Mapping[str, float] = {"ID2image": 0.77, "Genova et al.": 0.40, "Tran et al.": 0.22, "MoFA": 0.18}

#: Means that stand next to those of a run: metric → objective → value.
REPORTED: Mapping[str, Mapping[str, float]] = {**TABLE_2, "id_sim_critic": {"id,lm,hist": FIGURE_9["ID2image"]}}
