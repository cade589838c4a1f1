"""The installed distribution of an input, and how to install it.

An input is a distribution's name, an alias under the inventory's ``inputs``, or a reference as flakes write it
(nix3-flake(1), "Flake references"). What uv installed from such a reference records it (PEP 610), under any name.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUP = "rolecall.services"
SHIPPED = (None, "rolecall", "clan-core")  # the documents name Clan's own input; ours takes its place
_CLAN_CORE = re.compile(r"(?:^|[/:])clan-core(?:\.git)?(?:[/?#@]|$)")  # in a URL: Clan's own repository, or a fork
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # PyPA's specification of names
_FORGES = {"github": "github.com", "gitlab": "gitlab.com", "sourcehut": "git.sr.ht"}


class Reference(NamedTuple):
    """Where an input comes from.

    Attributes:
        name: The distribution's name, unless it was installed from the URL.
        requirement: The argument of ``uv add``; "" when unknown.
        url: The origin as PEP 610 records it; "" for a distribution of an index.
    """

    name: str
    requirement: str
    url: str = ""


def installed(reference: Reference) -> Distribution | None:
    """Return the distribution of an input, if it is installed."""
    if reference.url and (
        found := next((each for each in distributions() if _installed_from(each, reference.url)), None)
    ):
        return found
    try:
        return distribution(reference.name)
    except (PackageNotFoundError, ValueError):
        return None


def offering() -> list[Distribution]:
    """Return the installed distributions with services, each once, without Rolecall itself, sorted by name."""
    found = {each.name: each for each in distributions() if entry_points(each) and each.name != "rolecall"}
    return [found[name] for name in sorted(found)]


def entry_points(source: Distribution) -> dict[str, EntryPoint]:
    """Return the services that a distribution offers, by name."""
    return {point.name: point for point in source.entry_points if point.group == GROUP}


def refer(source: str | None, urls: Mapping[str, str], root: Path) -> Reference:
    """Return where an input comes from.

    Args:
        source: The input's name.
        urls: The origins that the inventory declares; "" for an input that only has a name.
        root: The base of relative paths.
    """
    if is_shipped(source, urls):
        return Reference("rolecall", "rolecall")
    assert source is not None  # noqa: S101 - that is shipped
    url = urls.get(source, "")
    if _NAME.fullmatch(url):  # an alias
        return Reference(url, url)
    requirement, origin = _from_flake(url, root)
    # The name that a flake gives to an input is the flake's own: a distribution of that name can be anyone's.
    guessed = source not in urls and source != "clan" and _NAME.fullmatch(source)
    return Reference(source, requirement or (source if guessed else ""), origin)


def is_shipped(source: str | None, urls: Mapping[str, str]) -> bool:
    """Return whether an input is Rolecall itself, which replaces Clan's own under any name."""
    return source in SHIPPED or bool(_CLAN_CORE.search(urls.get(source or "", "")))


def _from_flake(url: str, root: Path) -> tuple[str, str]:
    """Return the requirement for a flake's reference, and the origin that uv records; "" for unsupported ones."""
    head, _, query = url.partition("?")
    wants = {key: values[0] for key, values in parse_qs(query).items()}
    scheme, _, rest = head.partition(":")
    if scheme == "path" or head.startswith((".", "/")):
        path = "/".join(filter(None, (rest if scheme == "path" else head, wants.get("dir")))).replace("//", "/")
        shown = path if path.startswith((".", "/")) else f"./{path}"  # for uv, a name without one is a distribution's
        return shown, (root / path).resolve().as_uri()
    if scheme in _FORGES and rest.count("/") >= 1:
        owner, repository, *revision = rest.split("/")
        wants = {"ref": "/".join(revision)} | wants if revision else wants
        return _git(f"https://{wants.get('host', _FORGES[scheme])}/{owner}/{repository}", wants)
    if scheme.startswith("git+"):
        return _git(head.removeprefix("git+"), wants)
    archive = re.match(r"(?:tarball\+)?(https://.*(?:\.tar\.\w+|\.zip|\.whl))\Z", head)
    return (archive[1], archive[1]) if archive else ("", "")


def _git(url: str, wants: Mapping[str, str]) -> tuple[str, str]:
    revision = wants.get("rev") or wants.get("ref")
    at = f"@{revision}" if revision else ""
    below = f"#subdirectory={wants['dir']}" if "dir" in wants else ""
    return f"git+{url}{at}{below}", url


def _installed_from(source: Distribution, url: str) -> bool:
    """Return whether a distribution was installed from a URL, by PEP 610's ``direct_url.json``."""
    record = source.read_text("direct_url.json")
    return bool(record) and _same(json.loads(str(record)).get("url", "")) == _same(url)


def _same(url: str) -> str:
    return url.rstrip("/").removesuffix(".git")
