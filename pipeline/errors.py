"""The one exception a user is meant to see: it says in one line what is wrong, where, and what to do about it."""


class BigfootError(Exception):
    """A mistake that the user can mend; command lines print it as one line and exit with status 1."""
