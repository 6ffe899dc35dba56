"""Stages teacher_logits and student: a student is cut from its parent and learns from the teacher."""
