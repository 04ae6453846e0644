"""Passes: a graph of nodes, cut where a plane needs a fit, with margins and lifetimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from residue_batch.program import Key, Node, Pass


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
        passes.append(_pass([r for key in here for r in nodes[key].reads], nodes, here))
    return (*passes, _pass(targets, nodes, ()))


def _pass(targets: Iterable[Key], nodes: Mapping[Key, Node], fits: tuple[Key, ...]) -> Pass:
    targets = list(dict.fromkeys(targets))
    margin: dict[Key, int] = dict.fromkeys(targets, 0)
    # nodes stand in the order of work, so consumers come last
    for key in reversed(list(nodes)):
        if key in margin:
            for read in nodes[key].reads:
                margin[read] = max(margin.get(read, 0), margin[key] + nodes[key].halo)
    order = tuple(node for key, node in nodes.items() if key in margin)
    last = {key: len(order) for key in targets}
    for index, node in enumerate(order):
        for read in node.reads:
            last[read] = max(last.get(read, 0), index)
    frees = tuple(tuple(key for key, at in last.items() if at == index) for index in range(len(order)))
    return Pass(order, tuple(margin[node.key] for node in order), frees, fits)


def fused(visit: Pass) -> Pass:
    """The pass as it is run: a plane that one step alone reads, pixel by pixel, is made and read in one go.

    Which steps can is said by the one that makes the plane (``fuses``).
    """
    readers = Counter(read for node in visit.nodes for read in node.reads)
    work = {n.key: (n, m, f) for n, m, f in zip(visit.nodes, visit.margins, visit.frees, strict=True)}
    for node, margin, frees in list(work.values()):
        last, reads = (node.inputs[-1] if node.inputs else None), node.step
        if reads is None or node.halo or node.where or node.fit or last not in frees or readers[last] > 1:
            continue
        maker, _, freed = work[last]
        if maker.step is None or reads.name not in maker.step.definition.fuses:
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
