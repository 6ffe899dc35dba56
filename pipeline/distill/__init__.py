"""Stages teacher_logits and student: stores the teacher's logits, cuts a student from its parent and trains it."""
