"""Tools that measure Bigfoot itself, and publish its results."""
