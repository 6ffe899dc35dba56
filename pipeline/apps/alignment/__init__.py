"""Finds when each word of a known text is spoken: `bigfoot align`."""
