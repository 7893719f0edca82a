"""From the text of a formula to its tree: a Pratt parser (V. R. Pratt, Top down operator precedence, 1973). Pure.

Precedence and meaning of the operators are Python's. Bounds keep every formula cheap: 1,000 characters, 256 parts,
32 brackets or signs within each other.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from fieldline_edge.processing.expressions.functions import FUNCTIONS, Kind
from fieldline_edge.processing.expressions.tree import (
    Binary,
    Call,
    Choice,
    ExpressionError,
    Literal,
    Node,
    Tag,
    Unary,
    tags_of,
)

__all__ = ["CHARACTERS_MAX", "DEPTH_MAX", "NODES_MAX", "Expression", "parse"]

CHARACTERS_MAX: Final = 1_000
NODES_MAX: Final = 256
DEPTH_MAX: Final = 32
_INT_BITS_MAX: Final = 64
_NUMBER_CHARACTERS_MAX: Final = 40

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)
  | `(?P<quoted>[^`]*)`
  | "(?P<text>[^"]*)"
  | '(?P<text2>[^']*)'
  | (?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%<>(),])
    )""",
    re.VERBOSE,
)
_BINDING: Final = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 4),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "//", "%"), 6),
    "**": 8,
}
_NOT, _COMPARISON, _SIGN, _POWER = 3, 4, 7, 8
_KEYWORDS: Final = frozenset(("and", "or", "not", "if", "else"))
_TRUTH: Final = {"true": True, "True": True, "false": False, "False": False}
_CURES: Final = {
    "=": "write == to compare",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or != to compare",
    "^": "write ** for a power",
    "`": "close the name with another `",
    '"': 'close the text with another "',
    "'": "close the text with another '",
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula that was read: its text, its tree, and the tags it names, each with its first place in the text."""

    text: str
    root: Node
    tags: dict[str, int]


class _Token(NamedTuple):
    kind: str  # number, word, quoted, text, sign, end
    text: str
    at: int


def parse(text: str) -> Expression:
    """The formula in `text`; ExpressionError says at which character (from 1) it is wrong, and what would be right."""
    if len(text) > CHARACTERS_MAX:
        raise ExpressionError(
            f"has {len(text)} characters; at most {CHARACTERS_MAX} are allowed; split it into several derived tags"
        )
    root = _Parser(_tokens(text)).whole()
    return Expression(text, root, tags_of(root))


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    end = len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            character = text[at]
            cure = _CURES.get(character, "names are A-Z a-z 0-9 _ ., others stand in backticks: `flow-1`")
            raise ExpressionError(f"character {at + 1} ({character!r}) has no meaning there; {cure}")
        kind = found.lastgroup
        assert kind is not None, "every alternative has a name"
        tokens.append(_Token(kind.rstrip("2"), found[kind], found.start(kind) + 1))
        position = found.end()
    tokens.append(_Token("end", "", len(text) + 1))
    return tokens


class _Parser:
    """Walks over the tokens once."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._nodes = 0
        self._depth = 0

    def whole(self) -> Node:
        root = self._expression()
        token = self._peek()
        if token.kind != "end":
            self._fail(token, "comes after a whole formula; put an operator before it, or remove it")
        return root

    def _expression(self) -> Node:
        """The loosest: `then if test else other`."""
        self._enter()
        then = self._binary(0)
        if self._takes("if"):
            test = self._binary(0)
            if not self._takes("else"):
                self._fail(self._peek(), "stands where 'else' is missing; write: a if test else b")
            then = self._count(Choice(test, then, self._expression()))
        self._depth -= 1
        return then

    def _binary(self, least: int) -> Node:
        left = self._unary(least)
        while (token := self._peek()).kind in ("sign", "word") and _BINDING.get(token.text, -1) > least:
            binding = _BINDING[token.text]
            self._position += 1
            # Powers alone bind to the right, and a sign may follow: 2 ** -1.
            right = self._power_operand() if binding == _POWER else self._binary(binding)
            left = self._count(Binary(token.text, left, right))
            if binding == _COMPARISON and _BINDING.get(self._peek().text) == _COMPARISON:
                self._fail(self._peek(), "compares a comparison; write: a < b and b < c")
        return left

    def _power_operand(self) -> Node:
        self._enter()
        operand = self._binary(_SIGN)
        self._depth -= 1
        return operand

    def _unary(self, least: int) -> Node:
        token = self._peek()
        if token.kind == "word" and token.text == "not":
            if least >= _NOT:
                self._fail(token, "needs brackets there; write (not x)")
            return self._prefix(token, _NOT)
        if token.kind == "sign" and token.text in ("-", "+"):
            return self._prefix(token, _SIGN)
        return self._atom()

    def _prefix(self, token: _Token, binding: int) -> Node:
        self._position += 1
        self._enter()
        operand = self._binary(binding)
        self._depth -= 1
        return self._count(Unary(token.text, operand))

    def _atom(self) -> Node:
        token = self._next()
        if token.kind == "number":
            return self._count(Literal(_number(token)))
        if token.kind == "text":
            return self._count(Literal(token.text))
        if token.kind == "quoted":
            return self._count(Tag(token.text, token.at))
        if token.kind == "word":
            return self._word(token)
        if token.text == "(":
            inner = self._expression()
            self._close("(")
            return inner
        return self._fail(token, "stands where a value is missing; write a number, a tag, a function or a bracket")

    def _word(self, token: _Token) -> Node:
        if self._peek() == ("sign", "(", self._peek().at) and (token.text in FUNCTIONS or token.text not in _KEYWORDS):
            return self._call(token)
        if token.text in _TRUTH:
            return self._count(Literal(_TRUTH[token.text]))
        if token.text in _KEYWORDS:
            return self._fail(token, "stands where a value is missing; a tag of that name stands in backticks")
        return self._count(Tag(token.text, token.at))

    def _call(self, token: _Token) -> Node:
        from difflib import get_close_matches  # for mistakes alone: memory that a gateway needs not hold

        function = FUNCTIONS.get(token.text)
        if function is None:
            near = get_close_matches(token.text, FUNCTIONS, n=1)
            cure = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(FUNCTIONS))}"
            return self._fail(token, f"is no function; {cure}")
        self._position += 1
        arguments: list[Node] = []
        if not self._takes(")"):
            arguments.append(self._expression())
            while self._takes(","):
                arguments.append(self._expression())
            self._close(f"{token.text}(")
        if not function.least <= len(arguments) <= function.most:
            self._fail(token, f"has {len(arguments)} arguments; write {function.usage}")
        if function.kind is Kind.STATEFUL and not isinstance(arguments[0], Tag):
            self._fail(token, f"remembers the readings of one tag; write {function.usage}, and derive that tag first")
        if function.kind is Kind.STATEFUL and len(arguments) > 1 and not _is_modulus(arguments[1]):
            self._fail(token, f"wraps at a plain number above 0, like 65536; write {function.usage}")
        return self._count(Call(token.text, tuple(arguments), token.at))

    def _close(self, opened: str) -> None:
        if not self._takes(")"):
            self._fail(self._peek(), f"stands where {opened!r} must be closed; add ')'")

    def _peek(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._tokens[self._position]
        if token.kind != "end":
            self._position += 1
        return token

    def _takes(self, text: str) -> bool:
        token = self._peek()
        if token.kind in ("sign", "word") and token.text == text:
            self._position += 1
            return True
        return False

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._fail(self._peek(), f"is nested deeper than {DEPTH_MAX}; split the formula into several derived tags")

    def _count(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._fail(self._peek(), f"is beyond {NODES_MAX} parts; split the formula into several derived tags")
        return node

    def _fail(self, token: _Token, sentence: str) -> Node:
        what = "the end" if token.kind == "end" else f"character {token.at} ({token.text[:40]!r})"
        raise ExpressionError(f"{what} {sentence}")


def _number(token: _Token) -> float | int:
    text = token.text
    is_whole = text.isdigit()
    if len(text) <= _NUMBER_CHARACTERS_MAX:
        value = int(text) if is_whole else float(text)
        if value - value == 0 and (not is_whole or int(value).bit_length() <= _INT_BITS_MAX):
            return value
    raise ExpressionError(
        f"character {token.at} ({text[:40]!r}) is a number that no reading can carry; write a smaller one, like 1e9"
    )


def _is_modulus(node: Node) -> bool:
    return isinstance(node, Literal) and type(node.value) in (int, float) and float(node.value) > 0
