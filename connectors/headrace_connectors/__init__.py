"""Connectors to systems outside Kafka, one folder per system."""
