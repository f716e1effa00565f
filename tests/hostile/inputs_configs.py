"""Hostile configs and options."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from damage import TEXTS
from inputs_files import TOY
from watched import Case, command

_GOOD = (
    "encoder: toy\ncritic: toy.critic\ngenerator: toy-faces\ndataset: toy-targets\nlosses: id\nlimit: 3\nsteps: 2\n"
    "pairs: 100\nmetrics: [mse]\n"
)
_KEYS = (
    "encoder", "critic", "generator", "space", "losses", "objective", "loss_weights", "method", "method_options",
    "dataset", "dataset_options", "labels", "detector", "limit", "per_person", "min_photographs", "skip", "steps",
    "seed", "ablate", "probes", "pairs", "probe_data", "probe_data_limit", "metrics", "recognition",
    "recognition_limit", "weights", "precision", "compile", "device", "batch_size", "checkpoint_activations", "out",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), [], {}, [[]], [{}], {"a": []}, [None],
    {"id": float("nan")}, {"id": -1}, {"latent-adam": {"learning_rate": float("inf")}}, {"latent-adam": {"x": 1}},
    {"latent-adam": {"learning_rate": "1e-2"}}, {"latent-adam": None}, {"toy-targets": {"x": 1}}, {1: 2}, {None: 1},
    "mps", "cuda:99", "meta", "cpu:9", "fp32", "auto", "id,lm,hist", "toy", "toy|toy", "|", ",", "folder:", "folder:/",
    *TEXTS,
)  # fmt: skip


def case(rng: random.Random, index: int, work: Path) -> Case:
    """Return a config file that is validated, and tried as far as a dry run goes; or options that are."""
    make = (_values, _structures, _values, _options, _bytes)[index % 5]
    if make is _options:
        name, arguments = _options(rng)
        return Case(f"options: {name}", command(*TOY, *arguments), frozenset({0, 2, 3, 4, 6}))
    name, content = make(rng)
    (work / "run.yaml").write_bytes(content)
    where = ("config", "run.yaml") if rng.random() < 0.5 else ("bench", "run.yaml", "--dry-run")
    return Case(f"{make.__name__.lstrip('_')}: {name}", command(*TOY, *where), frozenset({0, 2, 3, 4, 6}))


def _values(rng: random.Random) -> tuple[str, bytes]:
    """Right keys with values of any kind."""
    content = yaml.safe_load(_GOOD)
    changed = rng.sample(_KEYS, rng.choice((1, 1, 2, 5)))
    for key in changed:
        value = rng.choice(_VALUES)
        content[key] = [value, value] if rng.random() < 0.2 else value
    if rng.random() < 0.1:
        content[rng.choice(TEXTS)] = 1
    return ", ".join(f"{key}={content[key]!r}"[:50] for key in changed), yaml.safe_dump(content).encode()


def _structures(rng: random.Random) -> tuple[str, bytes]:
    """YAML that is hard to read."""
    key = rng.choice(("limit", "method_options", "dataset_options", "encoder", "loss_weights", "weights", "unknown"))
    many = rng.choice((20, 3000))
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
    )
    odd = ("2020-01-01", "!!set {a}", "1e-2", ".nan", "&b [*b]", "{1: 2}", "~")
    texts: dict[str, str] = {
        "nested": f"{key}: " + rng.choice(("[", "{", "? ", "- ", "{a: ")) * many,
        "indented": "".join(" " * i + "a:\n" for i in range(many // 3)),
        "bomb": bomb + f"{key}: *a9\n",
        "itself": f"{key}: &a {{x: *a}}\n",
        "itself in a list": f"{key}: &a [*a]\n",
        "tag": f"{key}: {rng.choice(('!!int', '!!float', '!!bool', '!!timestamp', '!!binary', '!!set', '!!omap'))} x\n",
        "python tag": f"{key}: !!python/object/apply:os.system ['touch ../canary']\n",
        "other tag": f"{key}: !{rng.choice(('x', '!x', '<tag:a,b:c>', '!python/name:os.system'))} 1\n",
        "date": f"{key}: {rng.choice(('2020-13-45', '2020-01-01', '2001-12-14t21:59:43.10-05:00', '12:30:45'))}\n",
        "digits": f"{key}: {'9' * rng.choice((400, 5000))}\n",
        "option values": f"method_options: {{latent-adam: {{learning_rate: {rng.choice(odd)}}}}}\n",
        "twice": f"{_GOOD}{rng.choice(_KEYS)}: 1\nlimit: 2\nlimit: 3\n",
        "grid": f"{_GOOD}seed: [{', '.join(map(str, range(20_000)))}]\nsteps: [{', '.join(map(str, range(2000)))}]\n",
        "documents": f"{_GOOD}---\n{_GOOD}",
        "merge": f"a: &a {{limit: 1}}\nb: &b {{<<: *a}}\n<<: [*a, *b]\n{_GOOD}",
        "anchors": "".join(f"k{i}: &k{i} {i}\n" for i in range(many)),
        "long": f"{key}: {'x' * 2_000_000}\n",
        "octal": f"{_GOOD}seed: 010\nskip: 0x1F\nper_person: 1_0\n",
    }
    name = rng.choice(list(texts))
    return name, texts[name].encode()


def _bytes(rng: random.Random) -> tuple[str, bytes]:
    """Files that are no text, or hardly."""
    choice: Callable[[], tuple[str, bytes]] = rng.choice(
        (
            lambda: ("random", rng.randbytes(rng.choice((1, 100, 10_000)))),
            lambda: ("utf-16", _GOOD.encode("utf-16")),
            lambda: ("latin-1", "dataset: 'folder:Müller'\n".encode("latin-1")),
            lambda: ("mixed", _GOOD.encode() + rng.randbytes(20)),
            lambda: ("marks", bytes(rng.choice(b"[]{}&*!|>'\"%@`:,#?-\n ") for _ in range(rng.choice((10, 300))))),
            lambda: ("zeros", bytes(1000)),
            lambda: ("text", rng.choice(TEXTS).encode()),
        )
    )
    return choice()


def _options(rng: random.Random) -> tuple[str, list[str]]:
    """Options with values of any kind, where nothing is computed."""
    texts = [text.replace("\0", "") for text in TEXTS]
    options = rng.sample(
        ("--limit", "--steps", "--seed", "--encoder", "--losses", "--metric", "--dataset", "--loss-weights", "--device",
         "--method", "--weights", "--batch-size", "--precision", "--pairs", "--objective", "--labels", "--detector",
         "--out", "--shard", "--workers", "--no-such"),
        rng.choice((1, 2)),
    )  # fmt: skip
    given = [
        f"{option}={rng.choice((*texts, '-1', '0', 'toy', 'id=nan', 'id=', '=', '1/0', '2/1'))}" for option in options
    ]
    base = ["bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id"]
    arguments = rng.choice(
        (
            [*base, "--dataset", "toy-targets", "--dry-run", *given],
            ["config", *given],
            ["plugins", rng.choice(texts), rng.choice(texts)],
            ["weights", rng.choice(("list", "pull", "convert", "verify", *texts)), rng.choice(texts), "--offline"],
            [rng.choice(texts), rng.choice(texts)],
            ["report", "--out=x.html", "--", rng.choice(texts)],
            ["compare", "--", rng.choice(texts), rng.choice(texts)],
            ["export", "--format", rng.choice(("csv", "json", *texts)), "--", rng.choice(texts)],
            ["synthesize", "--generator", "toy-faces", f"--seeds={rng.choice(texts)}", "--out=o"],
        )
    )
    return " ".join(arguments)[:80].encode("unicode_escape").decode(), arguments
