"""Files in their publishers' formats with arbitrary numbers, for networks whose weights tests cannot download.

The plugins' own tests write such files to compare with a reference; this module reuses their writers.
"""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

from faceinv.data import write_image
from faceinv.testing import draw_faces

PLUGINS = Path(__file__).parents[2] / "plugins"


def module_of(plugin: str, name: str) -> ModuleType:
    """Import a test module of a plugin by its path."""
    alias = f"official_{plugin}_{name}"
    if alias not in sys.modules:
        folder = str(PLUGINS / plugin / "tests")
        sys.path.insert(0, folder)  # for modules next to it
        try:
            spec = importlib.util.spec_from_file_location(alias, PLUGINS / plugin / "tests" / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[alias] = module
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(folder)
    return sys.modules[alias]


def iresnet(folder: Path) -> Sequence[Path]:
    tests = module_of("arcface", "test_arcface_iresnet")
    reference = tests.Reference(50)
    reference(tests.pictures(1))
    torch.save(reference.state, folder / "backbone.pth")
    return [folder / "backbone.pth"]


def vit(folder: Path) -> Sequence[Path]:
    save_file(module_of("arcface", "test_arcface_vit").arbitrary_state(), folder / "model.safetensors")
    return [folder / "model.safetensors"]


def senet50(folder: Path) -> Sequence[Path]:
    reference = module_of("vggface2", "test_vggface2_resnet50").Reference(gate=True)
    reference(module_of("vggface2", "test_vggface2_others").pictures(224, 1))
    torch.save(reference.state, folder / "x_dag.pth")
    return [folder / "x_dag.pth"]


def inception(folder: Path) -> Sequence[Path]:
    tests = module_of("vggface2", "test_vggface2_others")
    reference = tests.Inception()
    reference(tests.pictures(160, 2))
    torch.save(reference.state, folder / "x.pt")
    return [folder / "x.pt"]


def faceres(folder: Path) -> Sequence[Path]:
    files: Sequence[Path] = module_of("encoders", "tfjs_files").write_faceres(folder)
    return files


def mobileface(folder: Path) -> Sequence[Path]:
    files: Sequence[Path] = module_of("encoders", "tfjs_files").write_mobileface(folder)
    return files


def stylegan2(folder: Path) -> Sequence[Path]:
    return [module_of("stylegan2", "stylegan2_files").write_nvidia(folder / "published.pkl")]


def portraits(folder: Path) -> Sequence[Path]:
    """Write an archive in which two drawn faces stand for all 200 portraits."""
    pictures = []
    for number, face in enumerate(draw_faces(2)):
        write_image(face, folder / f"{number}.jpg")
        pictures.append((folder / f"{number}.jpg").read_bytes())
    with zipfile.ZipFile(folder / "portraits.zip", "w") as packed:
        for number in range(100):
            packed.writestr(f"female/256/{number}.jpg", pictures[0])
            packed.writestr(f"male/256/{number}.jpg", pictures[1])
    return [folder / "portraits.zip"]


#: Writers of the files of networks and data sets whose published files are on other hosts, require a
#: registration, or are in a large archive, by name.
WRITERS: dict[str, Callable[[Path], Sequence[Path]]] = {
    "arcface.r50-ms1mv3": iresnet,
    "arcface.vit-tiny-ms1mv3": vit,
    "vggface2.senet50-ft": senet50,
    "vggface2.inception-resnet-v1": inception,
    "faceres.hse": faceres,
    "male": faceres,
    "age": faceres,
    "mobileface.v3": mobileface,
    "stylegan2.ffhq-1024": stylegan2,
    "portraits": portraits,
}

#: Objects of which only the declaration is checked, because they share the code of another object and differ only in
#: weights file, depth or split; with the name of that object.
STANDS_FOR = {
    "arcface.r100-ms1mv3": "arcface.r50-ms1mv3",
    "arcface.r100-glint360k": "arcface.r50-ms1mv3",
    # SE-ResNet-50 is ResNet-50 with a gate in each block.
    "vggface2.resnet50-ft": "vggface2.senet50-ft",
    "vggface2.resnet50-scratch": "vggface2.senet50-ft",
    "vggface2.senet50-scratch": "vggface2.senet50-ft",
    "stylegan2.ffhq-256": "stylegan2.ffhq-1024",
    "celeba.paper": "celeba.official",
    "celeba.paper-uncropped": "celeba.uncropped",
    # The same computation on dlib's landmarks, which are checked themselves.
    "pose.dlib": "pose",
}

#: Objects checked by their declaration and their own tests only: 138 million parameters take half a minute, for a
#: plain sequence of torch layers. `faceinv plugins check vggface` with a file runs every check.
TOO_LONG = {"vggface.vgg16"}


def celeba(folder: Path) -> Path:
    made: Path = module_of("celeba", "test_celeba").make(folder / "celeba", official=True)
    return made


def celeba_uncropped(folder: Path) -> Path:
    made = celeba(folder)
    module_of("celeba", "test_celeba").make_uncropped(made)
    return made


def lfw(alignment_folder: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        made: Path = module_of("lfw", "test_lfw").make(folder, alignment_folder)
        return made

    return write


def mofa_test(folder: Path) -> Path:
    """Write 84 drawn faces of 78 people, two faces for six of them."""
    for index, face in enumerate(draw_faces(84)):
        person, number = (index, 1) if index < 78 else (index - 78, 2)
        write_image(face, folder / f"person-{person:02d}_{number}.png")
    return folder


#: By name, what writes a data set of that layout.
PLACES: dict[str, Callable[[Path], Path]] = {
    "celeba.official": celeba,
    "celeba.uncropped": celeba_uncropped,
    "lfw.deepfunneled": lfw("lfw-deepfunneled"),
    "lfw.funneled": lfw("lfw_funneled"),
    "lfw.original": lfw("lfw"),
    "mofa-test": mofa_test,
}
