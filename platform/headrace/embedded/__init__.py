"""Real Kafka and Redis, and the platform's own processes, on this machine from packages only."""

from headrace.embedded.cluster import Addresses, EmbeddedCluster, cluster_directory, find_running

__all__ = ["Addresses", "EmbeddedCluster", "cluster_directory", "find_running"]
