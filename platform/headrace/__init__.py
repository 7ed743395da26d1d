"""Headrace: stateful stream processing for Python, with Apache Kafka as its nervous system."""

__version__ = "0.1.0"
