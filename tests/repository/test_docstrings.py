"""Docstrings are sentences, and a method that implements a protocol leaves its documentation to the protocol."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = (ROOT / "operator" / "tts_operator", ROOT / "inference_server" / "tts_server")
PYTHON = (*PRODUCT, *(ROOT / name for name in ("hack", "bench", "e2e", "tests")))
FOLDERS = sorted({file.parent.relative_to(ROOT) for top in PYTHON for file in top.rglob("*.py")})

FRAGMENT = re.compile(r"(Of|What|Who|Whose|Whom|None|Until|Where|See|Nobody|The same)\b")
"""Beginnings of a phrase that is complete only together with the name above it."""


BEGINNING = re.compile(r"[A-Z0-9`]|[a-z]+([A-Z_]|\.[a-z])")
"""A capital letter, a digit, a backtick, or the name of a field that is no plain word, such as `spec.replicas`."""


class Docstring(NamedTuple):
    """A string that is a statement of its own: the docstring of a module, class, function or attribute."""

    line: int
    text: str

    @property
    def first_paragraph(self) -> str:
        return self.text.partition("\n\n")[0].strip()


class Method(NamedTuple):
    parameters: tuple[str, ...]
    required: int
    """Number of parameters without a default; they come first."""
    returns: str
    """Annotation of the result."""
    is_property: bool
    docstring: Docstring | None


class Class(NamedTuple):
    file: Path
    name: str
    bases: tuple[str, ...]
    methods: dict[str, Method]
    fields: frozenset[str]
    """Names that the class assigns or annotates, in its body or through `self`."""


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def files(folder: Path) -> list[Path]:
    """Python files of the folder itself, without those of its subfolders."""
    return sorted((ROOT / folder).glob("*.py"))


@cache
def docstrings_of(file: Path) -> Sequence[Docstring]:
    return tuple(docstrings(tree(file)))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and the statements inside it, without their expressions: those are most of the nodes."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from statements(child)


def docstrings(node: ast.AST) -> Iterator[Docstring]:
    for part in statements(node):
        body = getattr(part, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield Docstring(statement.lineno, text.strip())


def name_of(base: ast.expr) -> str:
    """The last part of a base's name: `Protocol` for `typing.Protocol`, `Harness` for `Harness[Store]`."""
    match base:
        case ast.Subscript(value=generic):
            return name_of(generic)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def method(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> Method:
    parameters = [*definition.args.posonlyargs, *definition.args.args]
    return Method(
        tuple(parameter.arg for parameter in parameters),
        len(parameters) - len(definition.args.defaults),
        ast.unparse(definition.returns) if definition.returns else "",
        any(name_of(decorator) in {"property", "cached_property"} for decorator in definition.decorator_list),
        next((found for found in docstrings(definition) if found.line == definition.body[0].lineno), None),
    )


def fields(definition: ast.ClassDef) -> Iterator[str]:
    for statement in definition.body:
        for target in statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]:
            if isinstance(target, ast.Name):
                yield target.id
    for part in ast.walk(definition):
        match part:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


@cache
def classes() -> list[Class]:
    return [
        Class(
            file,
            node.name,
            tuple(name_of(base) for base in node.bases),
            {
                part.name: method(part)
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name != "__init__"
            },
            frozenset(fields(node)),
        )
        for top in PYTHON
        for file in sorted(top.rglob("*.py"))
        for node in statements(tree(file))
        if isinstance(node, ast.ClassDef)
    ]


@cache
def protocols() -> dict[str, dict[str, Method]]:
    """Each protocol of the two packages with its methods, those that it inherits from other protocols included."""
    own = {
        found.name: found
        for found in classes()
        if "Protocol" in found.bases and any(found.file.is_relative_to(top) for top in PRODUCT)
    }

    def methods(name: str) -> dict[str, Method]:
        inherited = (methods(base) for base in own[name].bases if base in own)
        return {key: value for part in (*inherited, own[name].methods) for key, value in part.items()}

    return {name: methods(name) for name in own}


def implements(candidate: Class, protocol: str) -> bool:
    """Whether the class implements the protocol, by a heuristic, because Python's protocols are structural.

    It does if it names the protocol as a base, or if it declares every method of the protocol with the same positional
    parameters (more of them only with defaults) and has every property, if only as a field. mypy demands equal names of
    an implementation, so a class that happens to have a method of the same name is rarely mistaken for one. A protocol
    with one method alone says too little by its names: there the result must be the same, too.
    """
    wanted = protocols()[protocol]
    return protocol in candidate.bases or all(
        name in candidate.methods or name in candidate.fields
        if each.is_property
        else name in candidate.methods
        and candidate.methods[name].parameters[: len(each.parameters)] == each.parameters
        and candidate.methods[name].required <= len(each.parameters)
        and (len(wanted) > 1 or candidate.methods[name].returns == each.returns)
        for name, each in wanted.items()
    )


def where(file: Path, docstring: Docstring) -> str:
    return f"{file.relative_to(ROOT)}:{docstring.line}: {docstring.text.splitlines()[0]}"


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_docstring_does_not_begin_as_a_fragment(folder: Path) -> None:
    offenders = [
        where(file, docstring)
        for file in files(folder)
        for docstring in docstrings_of(file)
        if FRAGMENT.match(docstring.text)
    ]
    assert offenders == []


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_docstring_begins_with_a_capital_and_its_first_paragraph_ends_with_a_full_stop(folder: Path) -> None:
    """`BEGINNING` has what else may begin it. A colon may end it, where an example or a list follows."""
    offenders = [
        where(file, docstring)
        for file in files(folder)
        for docstring in docstrings_of(file)
        if not BEGINNING.match(docstring.text) or not docstring.first_paragraph.endswith((".", ":"))
    ]
    assert offenders == []


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_method_that_implements_a_protocol_has_no_docstring(folder: Path) -> None:
    offenders = [
        f"{where(found.file, each.docstring)} ({found.name}.{name} of {protocol})"
        for found in classes()
        if found.file.parent == ROOT / folder and "Protocol" not in found.bases
        for protocol, wanted in protocols().items()
        if implements(found, protocol)
        for name, each in found.methods.items()
        if name in wanted and each.docstring is not None
    ]
    assert offenders == []


def test_the_packages_have_protocols_and_implementations() -> None:
    """Guards the test above: a heuristic that found nothing would let everything pass."""
    found = {name: {each.name for each in classes() if implements(each, name)} - {name} for name in protocols()}
    assert {"FilesystemStore", "S3Store"} <= found["Store"]
    assert {"RedisQuota", "MemoryQuota"} <= found["Quota"]
    assert {"WorkerPool", "RemoteEngineClient"} <= found["EngineClient"]
    assert "SystemClock" in found["Clock"]
