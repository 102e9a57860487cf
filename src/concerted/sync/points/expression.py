"""A CEL expression over who has arrived: checked when it is given, bounded in cost whenever it is looked at.

    compile_(text) -> Program        its syntax, its names and its size are in order
    run(program, arrived, ...)       its value; each part visited and each value handled costs a step of STEPS

The variables are `arrived` and `missing` (lists of ids, sorted), `data` (id -> what the agent brought) and `now`
(seconds).  Numbers compare whether they are whole or not.  Left out of the language: messages, time stamps and
bytes, for which JSON has no values, and Python's ways with `%` and `*` on texts.

Source: the Common Expression Language, github.com/google/cel-spec, doc/langdef.md.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concerted.errors import Invalid
from concerted.values import AgentId, Instant

__all__ = ["DEPTH", "ESCAPES", "NESTING", "NODES", "STEPS", "TEXT_CHARS", "Program", "compile_", "run"]

TEXT_CHARS = 2_000  # the longest expression
ESCAPES = 10  # backslashes in it; at each of them the library's lexer may try two ways, one after the other
NODES = 400  # its parts
DEPTH = 40  # its parts, one within the other
NESTING = 2  # comprehensions, one within the other
STEPS = 20_000  # what one look may cost, some 200 ms
PROGRAMS = 256  # expressions that are kept compiled
CHARS_PER_STEP = 64

VARIABLES = ("arrived", "data", "missing", "now")
COMPREHENSIONS = ("all", "exists", "exists_one", "filter", "map")
FUNCTIONS = ("bool", "contains", "double", "dyn", "endsWith", "has", "int", "matches", "size", "startsWith", "string")


@dataclass(frozen=True, slots=True)
class Program:
    """A checked expression.

    reads: the variables in it.  nesting: of its comprehensions; it visits up to participants ** nesting things.
    tree: of the library's nodes, without those that only pass a value on.  constants: by the id of their node.
    """

    text: str
    reads: frozenset[str]
    nesting: int
    tree: Any
    constants: dict[int, Any]


@functools.lru_cache(maxsize=PROGRAMS)
def compile_(text: str) -> Program:
    """Parse and check an expression.

    Raises:
        Invalid: it does not parse, is too large or uses what there is not; or the library is not installed.
    """
    escapes = text.count("\\")
    if len(text) > TEXT_CHARS or escapes > ESCAPES:
        raise _wrong(
            text,
            f"it has {len(text)} characters and {escapes} backslashes; at most {TEXT_CHARS} and {ESCAPES} are taken",
        )
    celpy = _celpy()
    try:
        tree = celpy.CELParser().parse(text)
    except celpy.CELParseError as error:
        raise _wrong(text, f"it does not parse at line {error.line}, column {error.column}") from None
    for subtree in tree.iter_subtrees():
        subtree.children = [_narrowed(child) for child in subtree.children]
    tree = _narrowed(tree)
    survey = _Survey(text)
    survey.visit(tree, (), 1, 0)
    return Program(text, frozenset(survey.reads), survey.nesting, tree, {})


def run(
    program: Program, arrived: Sequence[AgentId], missing: Sequence[AgentId], data: Mapping[AgentId, Any], now: Instant
) -> Any:
    """Return the value of the expression; true and false as Python's.

    Raises:
        Invalid: it has no value (no such key, no such operation on these types), or takes too many steps.
    """
    celpy, data_type, look_type = _classes()
    meter = _Meter()
    scope: dict[str, Any] = {"now": celpy.celtypes.DoubleType(now)}
    if "data" in program.reads:
        scope["data"] = data_type(data, meter)
    if "arrived" in program.reads:
        scope["arrived"] = celpy.json_to_cel(list(arrived))
    if "missing" in program.reads:
        scope["missing"] = celpy.json_to_cel(list(missing))
    try:
        value = look_type(program, scope, _Functions(celpy, meter)).evaluate()
    except celpy.CELEvalError as error:
        raise Invalid(_in_words(error), predicate=program.text) from None
    except _TooCostly:
        raise Invalid(f"it takes more than {STEPS} steps", predicate=program.text) from None
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise Invalid(f"{type(error).__name__}: {error}", predicate=program.text) from None
    return bool(value) if isinstance(value, celpy.celtypes.BoolType) else value


# Checking


# Each of these with one child is a step of the grammar and no step of the computation.
_PASSING_ON = (
    "expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member",
)  # fmt: skip
_REFUSED = {
    "member_object": "it makes a message, and there are none",
    "dot_ident": "a name in it begins with a dot",
    "dot_ident_arg": "a name in it begins with a dot",
}


def _narrowed(tree: Any) -> Any:
    """Return the first node at or below this one that computes something; parentheses do not."""
    while _is_tree(tree) and len(tree.children) == 1 and _is_tree(tree.children[0]):
        below = tree.children[0]
        if tree.data in _PASSING_ON:
            tree = below
        elif tree.data == "primary" and below.data == "paren_expr":
            tree = below.children[0]
        else:
            break
    return tree


class _Survey:
    """A walk over an expression that counts its parts, collects what it reads and refuses what there is not."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes = 0
        self.nesting = 0
        self.reads: set[str] = set()

    def visit(self, node: Any, bound: tuple[str, ...], depth: int, nesting: int) -> None:
        """Look at a part and what is in it.  bound: the variables of the comprehensions around it."""
        self.nodes += 1
        if self.nodes > NODES:
            raise _wrong(self.text, f"it has more than {NODES} parts")
        if depth > DEPTH:
            raise _wrong(self.text, f"its parts are nested more than {DEPTH} deep")
        if node.data in _REFUSED:
            raise _wrong(self.text, _REFUSED[node.data])
        if node.data == "ident":
            self._variable(str(node.children[0]), bound)
        elif node.data == "member_dot_arg" and node.children[1] in COMPREHENSIONS:
            self._comprehension(node, bound, depth, nesting)
        else:
            if node.data in ("ident_arg", "member_dot_arg"):
                self._function(next(str(child) for child in node.children if not _is_tree(child)))
            for child in _trees(node):
                self.visit(child, bound, depth + 1, nesting)

    def _comprehension(self, node: Any, bound: tuple[str, ...], depth: int, nesting: int) -> None:
        name = node.children[1]
        arguments = list(_trees(node.children[2])) if len(node.children) > 2 else []
        variable = _name_alone(arguments[0]) if len(arguments) == 2 else None
        if variable is None:
            raise _wrong(self.text, f"{name} takes a variable and an expression, as in arrived.{name}(a, a != 'ann')")
        if nesting == NESTING:
            raise _wrong(self.text, f"its comprehensions are nested more than {NESTING} deep")
        self.nesting = max(self.nesting, nesting + 1)
        self.visit(node.children[0], bound, depth + 1, nesting)
        self.visit(arguments[1], (*bound, variable), depth + 1, nesting + 1)

    def _variable(self, name: str, bound: tuple[str, ...]) -> None:
        if name not in bound:
            if name not in VARIABLES:
                raise _wrong(self.text, f"{name} is not known; there are {', '.join(VARIABLES)}")
            self.reads.add(name)

    def _function(self, name: str) -> None:
        if name not in FUNCTIONS:
            there_are = ", ".join((*COMPREHENSIONS, *FUNCTIONS))
            raise _wrong(self.text, f"there is no function {name}; there are {there_are}")


def _is_tree(node: object) -> bool:
    return hasattr(node, "children")  # the leaves are tokens, which are texts


def _trees(node: Any) -> Iterator[Any]:
    return (child for child in node.children if _is_tree(child))


def _name_alone(node: Any) -> str | None:
    inner = node.children[0]
    return str(inner.children[0]) if node.data == "primary" and inner.data == "ident" else None


def _wrong(text: str, why: str) -> Invalid:
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return Invalid(f"{shown!r} cannot be a predicate: {why}", predicate=text)


def _celpy() -> Any:
    try:
        import celpy  # 300 ms with its parser, and most points have no predicate
    except ImportError:
        raise Invalid("a predicate needs the CEL library: pip install 'concerted[cel]'") from None
    return celpy


# Running


class _TooCostly(Exception):
    """A look has used up its steps."""


class _Meter:
    """The steps that one look has left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS

    def charge(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooCostly

    def weigh(self, value: Any) -> None:
        """Charge for everything that is in a value, and stop as soon as it is too much."""
        todo = [value]
        while todo:
            one = todo.pop()
            self.charge()
            if isinstance(one, str | bytes):
                self.charge(len(one) // CHARS_PER_STEP)
            elif isinstance(one, Mapping):
                self.charge(len(one))
                todo.extend(one.values())
            elif isinstance(one, list | tuple):
                self.charge(len(one))
                todo.extend(one)


class _Functions:
    """The functions and operators as a look calls them: those whose cost grows with their operands are charged."""

    def __init__(self, celpy: Any, meter: _Meter) -> None:
        self.truth = celpy.celtypes.BoolType
        self.library = celpy.evaluation.base_functions
        self.meter = meter
        self.own: dict[str, Callable[..., Any]] = {"_in_": self._is_in}
        for name in ("_+_", "bool", "contains", "double", "endsWith", "int", "matches", "startsWith", "string"):
            self.own[name] = self._charged(name)
        for name in ("_-_", "_*_", "_/_", "_%_"):
            self.own[name] = self._of_numbers(name)
        for name, compare in _COMPARISONS.items():
            self.own[name] = self._compared(name, compare)

    def resolve_function(self, name: str) -> Callable[..., Any]:
        """Find a function by the name that the library has for it."""
        found: Callable[..., Any] = self.own.get(name) or self.library[name]
        return found

    def _is_in(self, item: Any, container: Any) -> Any:
        if isinstance(container, Mapping):
            return self.truth(item in container)
        self.meter.weigh(container)
        return self.library["_in_"](item, container)

    def _charged(self, name: str) -> Callable[..., Any]:
        def call(*operands: Any) -> Any:
            for operand in operands:
                self.meter.weigh(operand)
            return self.library[name](*operands)

        return call

    def _compared(self, name: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
        """Numbers compare as numbers, whole or not, and anything with null, which the library does not let them."""

        def call(left: Any, right: Any) -> Any:
            if (left is None or right is None) and name in ("_==_", "_!=_"):
                return self.truth(compare(left is None, right is None))
            if self._is_number(left) and self._is_number(right):
                return self.truth(compare(_plain(left), _plain(right)))
            self.meter.weigh(left)
            return self.library[name](left, right)

        return call

    def _of_numbers(self, name: str) -> Callable[[Any, Any], Any]:
        """Compute with numbers alone: with texts, Python's own `%` and `*` would make one of any length."""

        def call(left: Any, right: Any) -> Any:
            for side in (left, right):
                if not (self._is_number(side) or isinstance(side, Exception)):
                    raise TypeError(f"no such operation on {type(side).__name__}")
            return self.library[name](left, right)

        return call

    def _is_number(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, self.truth)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "_==_": operator.eq, "_!=_": operator.ne,
    "_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge,
}  # fmt: skip


def _plain(number: Any) -> int | float:
    return float(number) if isinstance(number, float) else int(number)


@functools.lru_cache(maxsize=1)
def _classes() -> tuple[Any, type[Any], type[Any]]:
    """Return the library and two classes that extend its own; they can be written only once it is there."""
    celpy = _celpy()

    class Data(celpy.celtypes.MapType):  # type: ignore[misc, name-defined]
        """The agents' data, each converted (and charged for) when it is looked at."""

        def __init__(self, data: Mapping[str, Any], meter: _Meter) -> None:
            super().__init__({celpy.celtypes.StringType(agent): value for agent, value in data.items()})
            self.meter = meter
            self.converted: dict[str, Any] = {}

        def __getitem__(self, key: Any) -> Any:
            value = super().__getitem__(key)
            if key not in self.converted:
                self.meter.weigh(value)
                self.converted[key] = celpy.json_to_cel(value)
            return self.converted[key]

    class Look(celpy.Evaluator):  # type: ignore[misc, name-defined]
        """An evaluation that charges for each node it visits and finds its variables in plain mappings."""

        def __init__(self, program: Program, scope: dict[str, Any], functions: _Functions, tree: Any = None) -> None:
            super().__init__(tree or program.tree, functions)
            self.program = program
            self.outer = self.scope = scope
            self.functions = functions

        def sub_evaluator(self, ast: Any) -> Look:
            return Look(self.program, self.scope, self.functions, ast)

        def set_activation(self, values: dict[str, Any]) -> Look:
            self.scope = {**self.outer, **values}
            return self

        def ident_value(self, name: str, root_scope: bool = False) -> Any:  # noqa: ARG002
            return self.scope[name]

        def visit(self, tree: Any) -> Any:
            self.functions.meter.charge()
            return super().visit(tree)

        def visit_children(self, tree: Any) -> list[Any]:
            return [self.visit(child) if _is_tree(child) else child for child in tree.children]

        def literal(self, tree: Any) -> Any:
            constants = self.program.constants
            if id(tree) not in constants:
                constants[id(tree)] = super().literal(tree)
            return constants[id(tree)]

    return celpy, Data, Look


def _in_words(error: Any) -> str:
    """Say in short what the library says: without its classes, with the column."""
    text = str(error.args[0]) if error.args else "no value"
    if text == "no such key" and len(error.args) > 2 and error.args[2]:
        text = f"no such key: {error.args[2][0]}"
    text = re.sub(r"Token\('RULE', '\w+?_(\w+)'\)", r"\1", text)
    text = re.sub(r"<class '[\w.]*?(\w+?)(?:Type)?'>", r"\1", text)
    return f"{text} (column {error.column})" if error.column else text
