"""The audio of calls: links that end after an hour and change at each reading, and the files behind them.

See the facts: Changes after the call. The files are MP3 of some seconds of silence, each with other bytes in it.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aircall_sandbox.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORDING_PATH = "/recordings/"
SECONDS = 3
"""How long the audio is, however long the call was."""
FRAME = b"\xff\xfb\x10\xc4" + bytes(17)
"""Header and side information of a frame of MP3 without any sound: one channel, 44.1 kHz, 32 kbit/s."""
FRAME_BYTES = 104
FRAMES_PER_SECOND = 44_100 / 1152
SIGNATURE_KEY = b"key of the sandbox"
MARK = "-signed-by-the-sandbox"
"""How every signature ends, so that tests can tell when one shows where it should not."""
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
MISSING = b"<Error><Code>NoSuchKey</Code></Error>"


def address_of(call_id: int, kind: str) -> str:
    """Return the path of a call's `recording` or `voicemail`, without the signature that a link has."""
    return f"{RECORDING_PATH}{call_id}-{kind}.mp3"


def audio(path: str) -> bytes:
    """Make the file of a path: always the same."""
    filler = random.Random(path)  # noqa: S311 - not for secrets
    frames = round(SECONDS * FRAMES_PER_SECOND)
    return b"".join(FRAME + filler.randbytes(FRAME_BYTES - len(FRAME)) for _ in range(frames))


class Recordings:
    """Signs links, and answers those who follow them; the attributes may be changed at any time."""

    def __init__(self) -> None:
        self.root: Callable[[], str] = lambda: "https://recordings.example.com"
        """Returns the root of the links."""
        self.link_seconds = 3600.0
        """How long a link is good."""
        self.content_type = "audio/mpeg"
        self.files: dict[str, bytes] = {}
        """What files are, by their path, instead of what is made up."""
        self.deleted: set[str] = set()
        """Paths of files that are gone, although the call still has a link."""
        self.deleted_status = 404
        self._readings = itertools.count(1)

    def links(self, call: Mapping[str, Any], now: float) -> dict[str, str]:
        """Return a call's `recording` and `voicemail` as links for one reading, as far as it has them.

        Args:
            call: The call, with paths from `address_of`; an address that leads elsewhere stays as it is.
            now: UNIX seconds.
        """
        params = {"expires": str(int(now + self.link_seconds)), "reading": str(next(self._readings))}
        paths = {kind: call[kind] for kind in ("recording", "voicemail") if call.get(kind)}
        return {kind: self._signed(path, params) for kind, path in paths.items()}

    def _signed(self, path: str, params: dict[str, str]) -> str:
        if not path.startswith(RECORDING_PATH):
            return path
        return f"{self.root()}{path}?{urlencode(params | {'signature': _sign(path, params)})}"

    def file(self, url: str, authorization: str | None, now: float) -> tuple[Answer, dict[str, str]]:
        """Answer a request as storage does: a link is a right of its own, and tolerates no other.

        Args:
            url: What is asked for.
            authorization: Header of that name.
            now: UNIX seconds.

        Returns:
            The answer, and headers.
        """
        parts = urlsplit(url)
        path, params = parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}
        signature = params.pop("signature", "")
        xml = {"content-type": "application/xml"}
        if authorization is not None:
            return Answer(400, b"<Error><Code>InvalidArgument</Code></Error>"), xml
        if not hmac.compare_digest(signature, _sign(path, params)) or now >= int(params["expires"]):
            return Answer(403, DENIED), xml
        if path in self.deleted:
            return Answer(self.deleted_status, MISSING), xml
        content = self.files.get(path)
        return Answer(200, audio(path) if content is None else content), {"content-type": self.content_type}


def _sign(path: str, params: dict[str, str]) -> str:
    text = f"{path}?{urlencode(sorted(params.items()))}"
    return hmac.new(SIGNATURE_KEY, text.encode(), hashlib.sha256).hexdigest() + MARK
