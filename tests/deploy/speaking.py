"""Targets on which some program answers instead of the agent."""

from __future__ import annotations

from rolecall.deploy.target import Target


class Speaks(Target):
    program: list[str] = []  # noqa: RUF012 - set below

    def agent(self, *, asks: bool = True, token: str = "", module: str = "wire") -> list[str]:  # noqa: ARG002 - as of a target
        return ["false"] if token else self.program


def speaking(program: list[str], name: str = "eve") -> Target:
    """Return a target on which this program answers."""
    kind = type("SpeaksThis", (Speaks,), {"program": program})
    target: Target = kind(name, name)
    return target
