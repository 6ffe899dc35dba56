"""Recordings at the addresses that fsspec opens: s3://, gs://, https://, file:// ...

Decision: an object is copied to a temporary file where it is transcribed, since that reads it twice or more, so each worker
fetches its own and the address alone travels. A web server lists no folders, so https:// is always one file.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipeline.common.addresses import named, safe
from pipeline.common.errors import Away, BigfootError, is_away

Result = TypeVar("Result")
VERSION = ("size", "ETag", "etag", "mtime", "LastModified", "updated", "md5Hash", "created")  # what stores say of an object


@dataclass(frozen=True)
class Object:
    """An object: its address, its path below the address that was listed ("." where it is that one), what its version is."""

    url: str
    below: PurePosixPath
    version: str


def is_url(name: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", name) is not None


def is_web(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


def stem(url: str) -> str:
    """The name of an object without its suffix. In all stores but web servers # and ? are letters of a name."""
    path = urlsplit(url).path if is_web(url) else url.partition("://")[2]
    return PurePosixPath(path).stem or urlsplit(url).netloc


def listed(url: str) -> list[Object]:
    """The object at an address, or all below it; none where there is none.

    Raises BigfootError where the address can't be asked, Away where the server can't be reached.
    """

    def find(store: Any, path: str) -> dict[str, dict]:
        return {path: store.info(path)} if is_web(url) else store.find(path, detail=True)

    try:
        root, found = _asked(url, lambda store, path: (path, find(store, path)))
    except FileNotFoundError:
        return []
    objects = []
    for path, info in found.items():
        below = "" if path == root else path.removeprefix(root.rstrip("/") + "/")
        address = f"{url.rstrip('/')}/{below}" if below else url
        if not path.endswith("/"):  # which marks a folder
            objects.append(Object(address, PurePosixPath(below), str([info.get(key) for key in VERSION])))
    return objects


def fetch(url: str, target: Path) -> None:
    """Copy an object to a file; raises BigfootError where it can't be."""
    try:
        _asked(url, lambda store, path: store.get_file(path, str(target)))
    except FileNotFoundError:
        raise BigfootError(f"{named(url)} is missing: check the address") from None


def _asked(url: str, ask: Callable[[Any, str], Result]) -> Result:
    """The answer of the store of an address, which is given the object's path in it; FileNotFoundError where it has none."""
    import fsspec

    for library in ("aiobotocore", "botocore"):  # they tell where they found the keys
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        return ask(*fsspec.core.url_to_fs(url))
    except ImportError as error:
        cure = "pip install 'bigfoot-asr[remote]'" if url.startswith("s3") else _first_line(error)
        raise BigfootError(f"{named(url)} needs a package that is not installed: {cure}") from None
    except Exception as error:  # each kind of store raises errors of its own
        # fsspec makes FileNotFoundError of whatever a web server answers, and of one that is away.
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
        status = getattr(cause, "status", None)
        if isinstance(error, FileNotFoundError) and not is_away(error) and (cause is error or status in (404, 410)):
            raise
        kind = Away if is_away(error) or (status or 0) >= 500 else BigfootError
        reason = f"the server answers {status}" if status else _first_line(cause)
        raise kind(f"{named(url)} can't be read: {reason}") from None


def _first_line(error: BaseException) -> str:
    return safe(str(error).strip().partition("\n")[0]) or type(error).__name__
