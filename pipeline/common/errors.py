"""The one exception a user is meant to see: it says in one line what is wrong, where, and what to do about it."""


class BigfootError(Exception):
    """A mistake that the user can mend; command lines print it as one line and exit with `status`."""

    status = 1


class Temporary(BigfootError):
    """The same command may work later, so whoever runs it may try again."""

    status = 75  # sysexits' EX_TEMPFAIL


class Away(Temporary):
    """Something outside can't be reached."""


class Busy(Temporary):
    """Something that only one can have at a time is taken."""


def is_away(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is of the net: no connection, no answer in time."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in _OF_LIBRARIES:
            return True
        error = error.__cause__ or error.__context__
    return False


# Of httpx, requests, urllib3 and huggingface_hub, by name: importing four libraries to look at an error would be worse.
_OF_LIBRARIES = {
    "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "ConnectionError", "Timeout",
    "MaxRetryError", "LocalEntryNotFoundError",
}  # fmt: skip
