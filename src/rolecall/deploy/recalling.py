"""Earlier generations, as a machine remembers them."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.deploy.answers import decode
from rolecall_agent import protocol
from rolecall_agent.configuration import Configuration
from rolecall_agent.frames import MAX_MESSAGE, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Recalled:
    """A generation of a machine.

    Attributes:
        configuration: What it has; the contents of its blobs are on the machine only.
        generation: Its number, and where it comes from; None when nothing is installed.
        provenance: From what its resources were made; None if it does not say.
    """

    configuration: Configuration
    generation: protocol.Generation | None
    provenance: protocol.Provenance | None


def recalled(pieces: Sequence[str], count: int) -> list[Recalled]:
    """Return generations from an answer to `inquiry.AskGenerations`.

    Args:
        pieces: As in `inquiry.Generations`.
        count: How many were asked for.

    Raises:
        ProtocolError: When the answer is anything else.
    """
    try:
        packed = zlib.decompressobj()
        data: Any = json.loads(packed.decompress(base64.b64decode("".join(pieces)), MAX_MESSAGE))
        found = [_recalled(each) for each in data]
    except (ValueError, TypeError, LookupError, zlib.error) as error:
        raise ProtocolError(f"invalid generations: {error}") from None
    if len(found) != count:
        raise ProtocolError("it returned other generations than the requested ones")
    return found


def _recalled(data: Any) -> Recalled:  # noqa: ANN401 - an inquiry.Recalled, if the machine is right
    text = json.dumps(data["configuration"], sort_keys=True, separators=(",", ":")).encode()
    configuration = Configuration.decode(text)
    generation = data["generation"] and decode(protocol.Generation, data["generation"])
    provenance = data["provenance"] and decode(protocol.Provenance, data["provenance"])
    if generation and hashlib.sha256(text).hexdigest() != generation["digest"]:
        raise ProtocolError("invalid generations: one has another content than its digest")
    return Recalled(configuration, generation, provenance)
