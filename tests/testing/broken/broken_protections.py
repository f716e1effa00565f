"""Broken protections."""

from __future__ import annotations

import torch
from breaking import breaks, good

from faceinv.contracts import Protection, Recovered


@good("protection", attack="turning it back", keys="system")
class Shifted(Protection):
    def __init__(self, context):
        self.dim = context.dim

    def shift(self, key):
        return key % (self.dim - 1) + 1

    def protect(self, descriptors, key):
        return descriptors.roll(self.shift(key), 1)

    def recover(self, leaks, prior):
        return Recovered(leaks[0].templates.roll(-self.shift(leaks[0].key), 1), "turning it back")


@breaks("protection", "learns_on_first_use")
class Eager(Shifted):
    def __init__(self, context):
        super().__init__(context)
        context.examples()


@breaks("protection", "templates_as_declared", output="binary")
class NotBinary(Shifted):
    pass


@breaks("protection", "the_key_decides", keys="person")
class Keyless(Shifted):
    def shift(self, key):
        return 1


@breaks("protection", "compares_people")
class Distance(Shifted):
    def compare(self, stored, presented):
        return torch.cdist(stored, presented)


@breaks("protection", "the_attack_works", attack="turning it back")
class WrongWay(Shifted):
    def recover(self, leaks, prior):
        return Recovered(leaks[0].templates.roll(self.shift(leaks[0].key), 1), "turning it on")


@breaks("protection", "running_touches_no_global_state")
class InPlace(Shifted):
    def protect(self, descriptors, key):
        return descriptors.mul_(2)
