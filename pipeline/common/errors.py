"""The exceptions that users see: one line that states what is wrong, where, and what to do."""


class BigfootError(Exception):
    """A mistake that the user can correct; command lines print it as one line and exit with `status`.

    It is one line whatever names and texts of others it repeats.
    """

    status = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class Temporary(BigfootError):
    """The same command may work later, so it is worth another try."""

    status = 75  # sysexits' EX_TEMPFAIL


class Away(Temporary):
    """An outside service can't be reached."""


class Busy(Temporary):
    """Another process holds something that only one process may hold."""


def is_away(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is a network error: no connection, or no answer in time."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in _NETWORK_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


# Errors of httpx, requests, urllib3 and huggingface_hub, by name, so that none of the four has to be imported.
_NETWORK_ERRORS = {
    "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "ConnectionError", "Timeout",
    "MaxRetryError", "LocalEntryNotFoundError",
}  # fmt: skip


def one_line(text: str) -> str:
    """The text with its unprintable characters escaped: line breaks, colors of a terminal and the like in foreign names.

    Joiners within words, as Persian and Hindi write them, stay.
    """
    return "".join(letter if letter.isprintable() or letter in _JOINERS else _escaped(letter) for letter in text)


_JOINERS = "\u200c\u200d"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
