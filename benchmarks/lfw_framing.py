"""Mean position of the faces in the deep-funneled LFW: the five points that MTCNN finds, averaged over people.

    python benchmarks/lfw_framing.py PATH/TO/lfw

Uses the most prominent face in the first photograph of every person in ``peopleDevTrain.txt``. Prints the mean points
in frame coordinates, as measured and made symmetric about the middle of the face, their standard deviations, and how
far single faces deviate from the mean in scale, angle and position.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from faceinv.data import read_image
from faceinv.framing import similarity
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore


def main() -> None:
    """Print the points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--people", type=int, help="number of people; all by default")
    given = parser.parse_args()
    lines = (given.lfw / "peopleDevTrain.txt").read_text(encoding="utf-8").split("\n")[1:]
    names = [line.split()[0] for line in lines if line.strip()][: given.people]
    host = Host()
    detector = Loader(host, WeightStore(host, notify=print)).detector("mtcnn")
    found, without = [], 0
    for name in names:
        image = read_image(given.lfw / "lfw-deepfunneled" / name / f"{name}_0001.jpg")
        faces = detector(image)
        if len(faces) == 0:
            without += 1
            continue
        found.append(faces.points[0].double().numpy() / [image.shape[2], image.shape[1]])
    points = np.stack(found)
    mean = points.mean(0)
    mirrored = mean[[1, 0, 2, 4, 3]]
    middle = (mean[:2, 0].mean() + mean[3:, 0].mean()) / 2
    symmetric = np.column_stack([(mean[:, 0] + 2 * middle - mirrored[:, 0]) / 2, (mean[:, 1] + mirrored[:, 1]) / 2])
    fits = np.stack([similarity(mean, face) for face in points])
    factor = fits[:, 0, 0] + 1j * fits[:, 1, 0]
    moved = points.mean(1) - mean.mean(0)
    print(f"{len(points)} faces; no face in {without} photographs")
    print("mean      ", np.round(mean, 4).tolist())
    print("symmetric ", np.round(symmetric, 3).tolist())
    print("deviation ", np.round(points.std(0), 4).tolist())
    print(
        f"single faces: scale ± {np.abs(factor).std():.3f}, angle ± {np.degrees(np.angle(factor)).std():.1f}°, "
        f"centre ± {moved[:, 0].std():.3f} and ± {moved[:, 1].std():.3f} of the frame"
    )


if __name__ == "__main__":
    main()
