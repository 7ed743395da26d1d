"""Generated uids: names for the state of operators that the program did not name.

A generated uid depends on the operator's kind, on the uids of its inputs and on how many operators of this kind
with these inputs came before. So it is the same for the same program, and a change elsewhere in the program
leaves it alone; but an operator put in upstream changes it. A program that wants to keep state across such
changes gives its own uids.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from headrace.errors import UsageError
from headrace.graph.stream_graph import StreamGraph, StreamNode


def uids(graph: StreamGraph) -> list[str]:
    """The uid of every node, in order. Raises UsageError (uid-repeated) when two are the same."""
    result: list[str] = []
    owners: dict[str, StreamNode] = {}
    before: Counter[str] = Counter()
    for node in graph.nodes:
        uid = node.uid
        if uid is None:
            inputs = "\n".join(result[edge.source] for edge in node.inputs)
            place = f"{node.kind}\n{inputs}"
            digest = hashlib.sha256(f"{place}\n{before[place]}".encode()).hexdigest()
            uid = f"{node.kind}-{digest[:8]}"
            before[place] += 1
        if uid in owners:
            other = owners[uid]
            raise UsageError(
                "uid-repeated",
                f"uid {uid!r} stands at {node.name!r} ({node.site}) and at {other.name!r} ({other.site})",
                hint="give each operator a uid of its own: it names the operator's state",
            )
        owners[uid] = node
        result.append(uid)
    return result
