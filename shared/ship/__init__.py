"""Artifacts: what a lesson leaves behind in ``outputs/<kind>/<name>/`` for people who never took it."""
