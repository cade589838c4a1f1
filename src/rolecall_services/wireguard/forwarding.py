"""What a peer that forwards packets lets through, as rules of nftables."""

from collections.abc import Iterable, Iterator


def rules(interfaces: Iterable[str], networks: Iterable[str], *, relay: bool, may_connect: bool) -> str:
    """Return the content of a table, nft(8), that drops what goes through the mesh without being meant to.

    Packets that neither come from the mesh nor go into it pass.

    Args:
        interfaces: The interfaces of the mesh.
        networks: Networks behind the peer, which the mesh reaches through it.
        relay: Whether it passes on packets between members of the mesh.
        may_connect: Whether machines in the networks may open connections into the mesh.
    """
    named = ", ".join(f'"{name}"' for name in interfaces)
    lines = [
        "type filter hook forward priority filter; policy accept;",
        *(["iifname @mesh oifname @mesh accept"] if relay else []),
        *(f"iifname @mesh {each}" for each in _of("daddr", networks)),
        "oifname @mesh ct state established,related accept",
        *(f"oifname @mesh {each}" for each in (_of("saddr", networks) if may_connect else ())),
        "iifname @mesh drop",
        "oifname @mesh drop",
    ]
    chain = "".join(f"    {line}\n" for line in lines)
    return f"set mesh {{\n    type ifname; elements = {{ {named} }};\n}}\nchain forward {{\n{chain}}}\n"


def _of(end: str, networks: Iterable[str]) -> Iterator[str]:
    """Yield rules that accept the networks of each family, if there are any, as ``saddr`` or ``daddr``."""
    networks = list(networks)
    for family in ("ip", "ip6"):
        if found := [each for each in networks if (":" in each) == (family == "ip6")]:
            yield f"{family} {end} {{ {', '.join(found)} }} accept"
