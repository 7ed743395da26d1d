"""Command of one job: its topics, slots, plans and end.

core      the rules, pure: step(state, event, now_ms) -> (state, effects)
service   JobMaster, the shell around it
"""

from headrace.jobmaster.job_topics import delete_job_topics, job_topics
from headrace.jobmaster.service import DeposedError, JobMaster

__all__ = ["DeposedError", "JobMaster", "delete_job_topics", "job_topics"]
