"""What a formula consists of. Pure."""

from dataclasses import dataclass

__all__ = ["Binary", "Call", "Choice", "ExpressionError", "Literal", "Node", "Tag", "Unary", "tags_of"]


class ExpressionError(ValueError):
    """A formula that cannot be used; the message says where, why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, text or truth value that stands in the formula."""

    value: float | int | bool | str


@dataclass(frozen=True, slots=True)
class Tag:
    """A value of the device, by name. `at` is its place in the formula, from 1."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x`, `+x` or `not x`."""

    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choice:
    """`then if test else other`: only one of the two is computed."""

    test: "Node"
    then: "Node"
    other: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`. `at` is its place in the formula, from 1."""

    function: str
    arguments: tuple["Node", ...]
    at: int


Node = Literal | Tag | Unary | Binary | Choice | Call


def tags_of(root: Node) -> dict[str, int]:
    """The tags a formula names, each with the place where it does so first."""
    found: dict[str, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tag):
            found[node.name] = min(node.at, found.get(node.name, node.at))
        elif isinstance(node, Unary):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            waiting += (node.left, node.right)
        elif isinstance(node, Choice):
            waiting += (node.test, node.then, node.other)
        elif isinstance(node, Call):
            waiting += node.arguments
    return found
