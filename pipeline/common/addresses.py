"""Addresses of servers that may hold a user name and a password: how they are asked, and how they are shown."""

import base64
import re
import urllib.parse
import urllib.request

HIDDEN = "***"
_SECRET = re.compile(r"(?i)([?&;][\w.%-]*(?:pass|pwd|token|secret|key|sig|auth|cred)[\w.%-]*=)[^&;\s'\"]*")


def safe(text: str) -> str:
    """A text without the user names and passwords of the addresses in it, which may contain any character but blanks.

    What looks like a password is left out too: the values of ?password= and the like, and user:password@ without a scheme.
    """
    text = re.sub(r"(?<=://)(?!/)\S*@", "", text)
    text = re.sub(r"(?<![\w/.])[^\s'\"/:@]+:[^\s'\"/]\S*@(?=\w)", "", text)
    return _SECRET.sub(rf"\1{HIDDEN}", text)


def named(address: str) -> str:
    """One address without its user name, its password and the passwords in its query; its path may hold an @."""
    try:
        parts = urllib.parse.urlsplit(address)
        is_odd = parts.port == 0 or parts.netloc not in address  # it has a tab or a line break, say
    except ValueError:  # what stands before the first slash is a part of a password, or no address
        is_odd = True
    if is_odd:
        return safe(address)
    return _SECRET.sub(rf"\1{HIDDEN}", address.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1))


def request(address: str) -> urllib.request.Request:
    """A GET request, with the address's user and password as HTTP's basic authentication, which urllib doesn't make of them."""
    parts = urllib.parse.urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    asked = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)))
    if user:
        coded = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {coded}")
    return asked
