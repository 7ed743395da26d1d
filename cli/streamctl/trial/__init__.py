"""Trials: a job with a known input on an embedded cluster of its own, watched from outside and checked exactly.

Everything here looks at the job as a stranger would: through topics, lane logs and process tables.
"""
