"""Broken metrics, data sets and detectors."""

from __future__ import annotations

import itertools

import torch
from breaking import breaks, good

from faceinv.contracts import Dataset, Faces, ProtocolScores
from faceinv.data import read_image
from faceinv.testing.toy_networks import ToyTargets

good("dataset")(ToyTargets)

_OPENED = itertools.count()


@good("metric")
class AbsoluteDifference:
    """A good metric; the broken ones differ from it in one place."""

    def __init__(self, *, framing) -> None:
        pass

    def __call__(self, comparison):
        return (comparison.target - comparison.reconstruction).abs().mean((1, 2, 3))


@breaks("metric", "one_number_per_pair")
class OneNumber(AbsoluteDifference):
    def __call__(self, comparison):
        return super().__call__(comparison).mean()


@breaks("metric", "direction_as_declared", higher_is_better=True)
class WrongDirection(AbsoluteDifference):
    pass


@breaks("metric", "within_its_bounds", bounds=(0.0, 0.01))
class WrongBounds(AbsoluteDifference):
    pass


@breaks("metric", "parts_equal_the_whole")
class RelativeToTheBatch(AbsoluteDifference):
    def __call__(self, comparison):
        values = super().__call__(comparison)
        return values / values.max().clamp_min(1e-9)


@breaks("metric", "running_touches_no_global_state")
class RandomPatch(AbsoluteDifference):
    def __call__(self, comparison):
        return super().__call__(comparison) * (1 + torch.rand(()) / 10)


@breaks("metric", "floor_needs_an_encoder", floor=True)
class FloorOfNothing(AbsoluteDifference):
    pass


PROTOCOL = {"name": "accepted", "protocol": True, "higher_is_better": True}


@good("metric", **PROTOCOL)
class Accepted:
    """A good protocol: the share that each encoder accepts; the broken ones differ in one place."""

    column = "accepted"

    def __init__(self, *, framing) -> None:
        self.asked = 0

    def accept(self, cosines, threshold):
        return (cosines >= threshold).double()

    def __call__(self, roles):
        columns, rows = {}, []
        for scores in roles:
            accepted = self.accept(scores.leaked, scores.thresholds[0].threshold)
            columns[f"{self.column}:{scores.role}"] = accepted
            rows.append({"role": scores.role, "encoder": scores.encoder, "share": float(accepted.mean())})
        return ProtocolScores(columns, rows)


@breaks("metric", "protocol_scores_every_role", **PROTOCOL)
class OneShare(Accepted):
    def accept(self, cosines, threshold):
        return super().accept(cosines, threshold).mean()


@breaks("metric", "protocol_rewards_the_person", **PROTOCOL)
class Reversed(Accepted):
    def accept(self, cosines, threshold):
        return (cosines < threshold).double()


@breaks("metric", "protocol_is_pure", **PROTOCOL)
class Counting(Accepted):
    def accept(self, cosines, threshold):
        self.asked += 1
        return (cosines >= threshold).double() / self.asked


@breaks("metric", "protocol_scores_every_role", **PROTOCOL)
class ColumnOfAnother(Accepted):
    column = "another-metric"


@breaks("metric", "protocol_shares_in_bounds", **PROTOCOL)
class CountsInPercent(Accepted):
    def accept(self, cosines, threshold):
        return 100 * super().accept(cosines, threshold)


@good("dataset")
class Few(Dataset):
    """A good data set of four images; the broken ones differ from it in one place."""

    def __init__(self, path, *, context) -> None:
        self.ids = [f"image-{index}" for index in range(context.limit or 4)]

    def load(self, index):
        return torch.full((3, 8, 8), index / 10)


@breaks("dataset", "ids_are_unique")
class SameIds(Few):
    def __init__(self, path, *, context) -> None:
        self.ids = ["image"] * 4


@breaks("dataset", "order_is_stable")
class Shuffled(Few):
    def __init__(self, path, *, context) -> None:
        super().__init__(path, context=context)
        opened = next(_OPENED)
        self.ids = [f"image-{(index + opened) % 4}" for index in range(4)]


@breaks("dataset", "limit_only_adds")
class SpreadOverTheLimit(Few):
    def load(self, index):
        return torch.full((3, 8, 8), index / len(self.ids))


@breaks("dataset", "images_as_declared")
class EightBit(Few):
    def load(self, index):
        return super().load(index) * 255


@breaks("dataset", "one_of_each_per_image")
class OneIdentity(Few):
    identities = ("somebody",)


@breaks("dataset", "splits_share_nobody")
class SplitByImage(Few):
    identities = ("a", "a", "b", "b")
    splits = ("train", "test", "train", "val")


@breaks("dataset", "missing_path_is_reported", takes_path=True)
class RaisesOSError(Few):
    def __init__(self, path, *, context) -> None:
        self.ids = [file.name for file in sorted(path.iterdir())]
        self.folder = path

    def load(self, index):
        return read_image(self.folder / self.ids[index])


@breaks("dataset", "fingerprint_follows_content", takes_path=True)
class KnownBySizes(Few):
    def __init__(self, path, *, context) -> None:
        self.files = sorted(path.iterdir())
        self.ids = [file.name for file in self.files]

    def fingerprint(self):
        return str([file.stat().st_size for file in self.files])


@breaks("dataset", "running_touches_no_global_state")
class Reseeds(ToyTargets):
    def load(self, index):
        torch.manual_seed(0)
        return torch.rand(3, 16, 16)


def faces(n: int = 1, **given) -> Faces:
    """Return faces whose points lie within their box, with the ``given`` parts replaced."""
    points = torch.tensor([[30.0, 40.0], [60.0, 40.0], [45.0, 55.0], [33.0, 70.0], [57.0, 70.0]]).expand(n, 5, 2)
    standard = {"boxes": torch.tensor([[20.0, 20.0, 70.0, 80.0]]).expand(n, 4), "points": points}
    return Faces(**(standard | {"scores": torch.full((n,), 0.9)} | given))


@good("detector")
class Detector:
    """A good detector: it finds a face in every image that is not uniform."""

    def __call__(self, image):
        if min(image.shape[1:]) < 20 or float(image.std()) < 1e-3:
            return faces(0)
        return faces()


@breaks("detector", "faces_as_declared")
class Percent(Detector):
    def __call__(self, image):
        found = super().__call__(image)
        return faces(len(found), scores=100 * found.scores)


@breaks("detector", "points_lie_in_their_boxes")
class WidthAndHeight(Detector):
    def __call__(self, image):
        found = super().__call__(image)
        return faces(len(found), boxes=torch.tensor([[60.0, 60.0, 50.0, 60.0]]).expand(len(found), 4))


@breaks("detector", "nothing_in_an_empty_image")
class AlwaysFinds(Detector):
    def __call__(self, image):
        return faces()


@breaks("detector", "running_touches_no_global_state")
class Jitters(Detector):
    def __call__(self, image):
        found = super().__call__(image)
        return faces(len(found), boxes=found.boxes + torch.rand(1))
