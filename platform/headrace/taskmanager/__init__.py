"""Runs lanes of jobs in slot workers, as the plans say.

core, reconcile   the rules, pure: step(state, event, now_ms) -> (state, effects)
service           TaskManager, the shell around them; run_taskmanager, a process of it
worker_pool       the slot workers as processes
"""
