"""Prefect: when and where a stage runs, and what a person sees meanwhile. What a stage does is pipeline's business."""
