"""The store of the teacher's frame logits: written by the stage teacher_logits, read by the training of students."""
