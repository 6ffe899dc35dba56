"""Prefect: when and where a stage runs, and what it shows during the run. The stages' own work is in pipeline/."""
