"""A program's plan as Flink's JSON shows it: its operators before they are put together into vertices. Pure."""

from __future__ import annotations

import json

from headrace.graph.job_graph import SINKS, SOURCES, Ship
from headrace.graph.stream_graph import StreamGraph

_STRATEGIES = {
    Ship.HASH: "HASH",
    Ship.FORWARD: "FORWARD",
    Ship.REBALANCE: "REBALANCE",
    Ship.BROADCAST: "BROADCAST",
    Ship.GLOBAL: "GLOBAL",
    Ship.CUSTOM: "CUSTOM",
}


def plan_of(graph: StreamGraph) -> str:
    """``{"nodes": [{"id", "type", "pact", "contents", "parallelism", "predecessors"}]}``."""
    nodes = []
    for number, node in enumerate(graph.nodes, 1):
        pact = "Data Source" if node.kind in SOURCES else "Data Sink" if node.kind in SINKS else "Operator"
        described: dict[str, object] = {
            "id": number,
            "type": node.name,
            "pact": pact,
            "contents": node.name,
            "parallelism": node.parallelism,
        }
        if node.inputs:
            described["predecessors"] = [
                {
                    "id": edge.source + 1,
                    "ship_strategy": _STRATEGIES.get(edge.ship, "FORWARD") if edge.ship else "FORWARD",
                    "side": "second",
                }
                for edge in node.inputs
            ]
        nodes.append(described)
    return json.dumps({"nodes": nodes}, indent=2)
