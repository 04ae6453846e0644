"""Passes: a graph of nodes, cut where a plane needs a fit, with margins and lifetimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from residue_batch.program import Key, Node, Pass
from residue_batch.step import Kind


def cut(nodes: Mapping[Key, Node], targets: Iterable[Key]) -> tuple[Pass, ...]:
    """Cut at fits: a fit's pass comes after the passes of every fit it reads.

    Parameters
    ----------
    nodes
        In the order of work.
    targets
        What the last pass is for.
    """
    level: dict[Key, int] = {}
    for key, node in nodes.items():
        level[key] = max((level[r] + (nodes[r].fit is not None) for r in node.reads), default=0)
        if node.fit not in (None, key):
            level[key] = max(level[key], level[node.fit])
    fits = [key for key, node in nodes.items() if node.fit == key]
    passes = []
    for number in sorted({level[key] for key in fits}):
        here = tuple(key for key in fits if level[key] == number)
        passes.append(_pass(dict.fromkeys((r for key in here for r in nodes[key].reads), 0), nodes, here))
    return (*passes, _pass(dict.fromkeys(targets, 0), nodes, ()))


def _margins(targets: Mapping[Key, int], nodes: Mapping[Key, Node], found: Collection[Key]) -> dict[Key, int]:
    """How far beyond a tile each plane is needed, what is ``found`` included: that is not made."""
    margin = dict(targets)
    # nodes stand in the order of work, so consumers come last
    for key in reversed(list(nodes)):
        if key in margin and key not in found:
            for read in nodes[key].needs:
                margin[read] = max(margin.get(read, 0), margin[key] + nodes[key].halo)
    return margin


def _pass(
    targets: Mapping[Key, int], nodes: Mapping[Key, Node], fits: tuple[Key, ...], found: Collection[Key] = ()
) -> Pass:
    margin = _margins(targets, nodes, found)
    order = tuple(node for key, node in nodes.items() if key in margin and key not in found)
    last = {key: len(order) for key in targets}
    for index, node in enumerate(order):
        for read in node.needs:
            last[read] = max(last.get(read, 0), index)
    frees = tuple(tuple(key for key, at in last.items() if at == index) for index in range(len(order)))
    return Pass(order, tuple(margin[node.key] for node in order), frees, fits)


def fused(visit: Pass) -> Pass:
    """The pass as it is run: a plane that one step alone reads, pixel by pixel, is made and read in one go.

    Which steps can is said by the one that makes the plane (``fuses``).
    """
    readers = Counter(read for node in visit.nodes for read in node.needs)
    work = {n.key: (n, m, f) for n, m, f in zip(visit.nodes, visit.margins, visit.frees, strict=True)}
    for node, margin, frees in list(work.values()):
        last, reads = (node.inputs[-1] if node.inputs else None), node.step
        if reads is None or node.halo or node.where or node.fit or last not in frees or readers[last] > 1:
            continue
        maker, _, freed = work.get(last, (node, 0, ()))
        if maker is node or maker.step is None or reads.name not in maker.step.definition.fuses:
            continue
        step, inputs = replace(maker.step, into=reads.name), (*node.inputs[:-1], *maker.inputs)
        del work[last]
        work[node.key] = (
            replace(maker, key=node.key, step=step, inputs=inputs),
            margin,
            tuple(key for key in (*freed, *frees) if key != last),
        )
    nodes, margins, frees_of = zip(*work.values(), strict=True) if work else ((), (), ())
    return replace(visit, nodes=nodes, margins=margins, frees=frees_of)


# planes that are left from pass to pass ------------------------------------------

_BYTES = {Kind.SCALAR: 4, Kind.MASK: 1}
"""Kinds of planes that are left, and bytes a pixel."""


@dataclass(frozen=True)
class Relay:
    """A pass as it is run.

    ``alone`` makes all of its planes. Where passes leave planes for each other, ``whole`` makes all of them, as far
    beyond the tile as later passes need those of ``leaves``, and ``rest`` what those of ``finds`` are not enough for.
    """

    alone: Pass
    whole: Pass
    rest: Pass
    finds: tuple[Key, ...]
    leaves: tuple[Key, ...]
    nbytes: int
    """What it adds to what is left, bytes a pixel."""

    def visit(self, there: Collection[Key] | None) -> Pass:
        """The pass where planes are there; None where none are left."""
        if there is None:
            return self.alone
        return self.rest if all(key in there for key in self.finds) else self.whole


def left_by(relays: Iterable[Relay]) -> int:
    """Bytes a pixel that all passes together leave."""
    return sum(relay.nbytes for relay in relays)


@lru_cache(maxsize=16)
def relayed(passes: tuple[Pass, ...], *, codes: bool) -> tuple[Relay, ...]:
    """How passes are run: what each leaves for later ones, so that they need not go over neighbourhoods again.

    With ``codes`` shots are of 8 bit, and planes of their code values are left too: a byte where a shot has three.
    """
    nodes = [{node.key: node for node in visit.nodes} for visit in passes]
    leaves = [_left(visit, passes[i + 1 :], codes) for i, visit in enumerate(passes)]
    needed: dict[Key, int] = {}
    relays: list[Relay] = []
    for i, visit in reversed(list(enumerate(passes))):
        own = {key: needed[key] for key in leaves[i] if key in needed}
        targets = dict.fromkeys(_targets(visit), 0) | own
        there = {key for earlier in leaves[:i] for key in earlier}
        finds = {key: margin for key, margin in _margins(targets, nodes[i], there).items() if key in there}
        needed |= {key: max(margin, needed.get(key, 0)) for key, margin in finds.items()}
        whole, rest = (fused(_pass(targets, nodes[i], visit.fits, found)) for found in ((), finds))
        added = [nodes[i][key] for key in own if key not in there]
        nbytes = sum(1 if codes and node.codes else _BYTES[node.kind] for node in added)
        relays.append(Relay(fused(visit), whole, rest, tuple(finds), tuple(own), nbytes))
    return tuple(reversed(relays))


def _targets(visit: Pass) -> list[Key]:
    """What a pass is for: what it does not forget."""
    freed = {key for frees in visit.frees for key in frees}
    return [node.key for node in visit.nodes if node.key not in freed]


def _left(visit: Pass, later: Sequence[Pass], codes: bool) -> tuple[Key, ...]:
    """The planes that later passes go on from, if neighbourhoods went into them: the rest is made again in no time.

    Only scalar planes and masks, and not what is made of the others pixel by pixel; with ``codes`` those of a shot too.
    """
    here = {node.key for node in visit.nodes}
    wanted = {key for one in later for node in one.nodes if node.key not in here for key in node.needs}
    wanted |= {key for one in later for key in _targets(one)}
    near: set[Key] = set()  # at hand, or soon made of what is
    left = []
    for node in visit.nodes:
        made_again = not node.halo and near.issuperset(node.needs) and not (codes and node.codes)
        if node.key in wanted and node.kind in _BYTES and not made_again:
            left.append(node.key)
        if made_again or node.key in left:
            near.add(node.key)
    return tuple(left)
