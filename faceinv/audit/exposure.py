"""What an attacker has of a system whose descriptors are read: how much of them, behind which protection, what else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from faceinv.contracts.leaks import parse_knowledge, parse_leak
from faceinv.contracts.protection_specs import KEY_KNOWN, THREATS
from faceinv.contracts.specs import EncoderSpec
from faceinv.errors import UsageError, unknown_name
from faceinv.plugins.host import Host
from faceinv.plugins.protections import NONE, parse_protection, written


@dataclass(frozen=True)
class Exposure:
    """What an attacker has of a system; by default whole descriptors, and the encoder to train readers with.

    Args:
        protect: How descriptors are protected, ``NAME[:OPTION=VALUE]`` with all options.
        threat: What the attacker has of a protected system, one of :data:`faceinv.contracts.THREATS`.
        leak: The part that leaks, as in a config of ``faceinv bench``; empty for all of it.
        knowledge: ``pairs:N`` for an attacker who cannot run the encoder.
        surrogate: The encoder that such an attacker maps descriptors to; without one, readers learn from the pairs.
    """

    protect: str = ""
    threat: str = KEY_KNOWN
    leak: str = ""
    knowledge: str = ""
    surrogate: str = ""

    @property
    def config(self) -> dict[str, str]:
        """Everything that is not the default."""
        default = asdict(Exposure())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    def title(self, encoder: str) -> str:
        """Return how rows name an encoder that is exposed like this."""
        behind = f"{encoder} behind {self.protect}" if self.protect else encoder
        threat = self.threat if self.threat != KEY_KNOWN else ""
        knowledge = f"{self.knowledge} to {self.surrogate}" if self.surrogate else self.knowledge
        return ", ".join(filter(None, (behind, threat, self.leak, knowledge)))


def exposures(
    host: Host,
    encoder: EncoderSpec,
    *,
    protect: Sequence[str],
    threats: Sequence[str],
    leaks: Sequence[str],
    knowledge: Sequence[str],
    surrogate: str,
) -> list[Exposure]:
    """Return all combinations of what is given, each once; nothing given means the default.

    Args:
        host: The plugins.
        encoder: The encoder that is read.
        protect: Protections, or ``"none"``.
        threats: What the attacker has of a protected system.
        leaks: Parts of descriptors.
        knowledge: ``"encoder"`` or ``"pairs:N"``.
        surrogate: The attacker's own encoder, or nothing.

    Raises:
        UsageError: if a value is not allowed, or the combination is not.
    """
    unknown = next((threat for threat in threats if threat not in THREATS), None)
    if unknown is not None:
        raise unknown_name("threat", unknown, THREATS)
    protections: dict[Exposure, None] = {}
    for text in protect or [NONE]:
        found = parse_protection(text, encoder.dim, host)
        own = written(found[0].name, found[1]) if found else ""
        # Without keys, no threat model differs from another.
        keyed = found is not None and found[0].keys != "none"
        protections |= dict.fromkeys(
            Exposure(own, threat) for threat in (threats if keyed and threats else [KEY_KNOWN])
        )
    other = _surrogate(host, encoder, surrogate, knowledge)
    partial = dict.fromkeys(
        (_leak(text, encoder.dim), known if parse_knowledge(known) else "")
        for text in leaks or ["descriptor"]
        for known in knowledge or ["encoder"]
    )
    if any(map(any, partial)) and set(protections) != {Exposure()}:
        raise UsageError("--protect cannot be combined with --leak or --knowledge: measure one after the other.")
    ways = [Exposure(leak=leak, knowledge=known, surrogate=other if known else "") for leak, known in partial]
    return [*protections] if ways == [Exposure()] else ways


def _leak(text: str, dim: int) -> str:
    leak = parse_leak(text, dim)
    if leak is not None and leak.kind == "decisions":
        raise UsageError(f"No reader can be trained on '{text}'. Allowed: descriptor, dims:N, bits:N, scores:N.")
    return str(leak or "")


def _surrogate(host: Host, encoder: EncoderSpec, given: str, knowledge: Sequence[str]) -> str:
    if not given:
        return ""
    name: str = host.spec("encoder", given).name
    if name == encoder.name:
        raise UsageError(f"--surrogate {given}: it is the encoder that leaked, which the attacker cannot run.")
    if not any(map(parse_knowledge, knowledge)):
        raise UsageError("--surrogate is for an attacker who cannot run the encoder; add --knowledge pairs:N.")
    return name
