"""Checks the setting `stream_maps`, and explains maps that fail.

The SDK ignores a misspelt stream or field, which would leak what the map was meant to remove. And its errors may quote
a record.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib.util
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from singer_sdk import mapper
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import (
    MAPPER_ALIAS_OPTION,
    MAPPER_ELSE_OPTION,
    MAPPER_FILTER_OPTION,
    MAPPER_KEY_PROPERTIES_OPTION,
    MAPPER_SOURCE_OPTION,
    NULL_STRING,
    CustomStreamMap,
    RemoveRecordTransform,
)

from tap_aircall.errors import InputError, TapAircallError, hint, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from singer_sdk.mapper import PluginMapper

    from tap_aircall.streams.base import AircallStream

SETTING = "stream_maps"


def _is_null(rule: Any) -> bool:
    return rule is None or rule == NULL_STRING


def _is_alias(rule: Any) -> bool:
    return isinstance(rule, str) and _parsed(rule) is not None


def _parsed(text: str) -> ast.Expression | None:
    """Parse an expression; return None if it is not valid."""
    try:
        return ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


MAP_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    MAPPER_ALIAS_OPTION: (_is_alias, "a name, or an expression such as __stream_name__ + '_raw'"),
    MAPPER_ELSE_OPTION: (_is_null, "null"),
    MAPPER_FILTER_OPTION: (lambda rule: rule is None or isinstance(rule, str), "an expression"),
    MAPPER_KEY_PROPERTIES_OPTION: (
        lambda rule: isinstance(rule, list) and all(isinstance(name, str) for name in rule),
        "an array of names of fields, [] for no key",
    ),
    MAPPER_SOURCE_OPTION: (lambda rule: bool(rule) and isinstance(rule, str), "the name of a stream"),
}
"""Options of a map besides fields, each with a check and a description of valid values."""
RECORDS = ("_", "record")
"""Names of the whole record in expressions."""
NAMES = frozenset(
    {"config", "__stream_name__", "__original_stream_name__", *RECORDS}
    | {"md5", "sha256", "datetime", "bool", "json", "rand", "randint", "int", "float", "str"}
    | {name for name in ("check_uuid", "uuid4") if hasattr(mapper, name)}  # of singer-sdk 0.55
    | ({"fake"} if importlib.util.find_spec("faker") else set())
)
"""Names that expressions may use besides fields."""


def check(maps: Mapping[str, Any], streams: Iterable[AircallStream]) -> None:
    """Reject maps of unknown streams and fields, and invalid expressions.

    Raises:
        InputError: Names the stream and the field.
    """
    streams = list(streams)
    for name, rules in maps.items():
        place = f"Setting {SETTING}.{one_line(name)}"
        if name == MAPPER_ELSE_OPTION:
            _check_option(place, name, rules)
            continue
        if isinstance(rules, dict):
            for option in MAP_OPTIONS.keys() & rules.keys():
                _check_option(f"{place}.{option}", option, rules[option])
        elif not _is_null(rules):
            raise InputError(f"{place}: must be null or an object.")
        source = rules.get(MAPPER_SOURCE_OPTION, name) if isinstance(rules, dict) else name
        sources = [stream for stream in streams if fnmatch.fnmatch(stream.name, source)]
        if not sources:
            names = [*(stream.name for stream in streams), MAPPER_ELSE_OPTION]
            advice = hint(source, names, "--discover lists them.")
            raise InputError(f"{place}: there is no stream '{one_line(source)}'; {advice}")
        if isinstance(rules, dict):
            _check_fields(place, rules, sources)
    for stream in streams:
        _check_removal(maps, stream.name)


def _check_removal(maps: Mapping[str, Any], stream: str) -> None:
    """Reject removing a stream that another map, with a pattern, sends: the SDK would send it."""
    matching = [name for name in maps if fnmatch.fnmatch(stream, name)]
    removing = next((name for name in matching if _is_null(maps[name])), None)
    sending = next((name for name in matching if name != stream and not _is_null(maps[name])), None)
    if removing is not None and sending is not None:
        raise InputError(
            f"Setting {SETTING}.{one_line(removing)}: removes '{stream}', but {SETTING}.{one_line(sending)} sends it; "
            "name each stream in one map."
        )


def _check_option(place: str, option: str, rule: Any) -> None:
    is_right, form = MAP_OPTIONS[option]
    if not is_right(rule):
        raise InputError(f"{place}: must be {form}.")


def _check_fields(place: str, rules: Mapping[str, Any], sources: list[AircallStream]) -> None:
    """Check the map of one stream, or of several if its name is a pattern; each field must exist in one of them."""
    schemas = [schema for stream in sources for schema in (stream.schema, stream.effective_schema)]
    fields = {name for schema in schemas for name in schema["properties"]}
    is_open = any(stream.is_open for stream in sources)
    removed = {name for name, rule in rules.items() if name not in MAP_OPTIONS and _is_null(rule)}
    for name, rule in rules.items():
        if name.startswith("__") and name not in MAP_OPTIONS:
            advice = hint(name, MAP_OPTIONS, f"there are {', '.join(MAP_OPTIONS)}.")
            raise InputError(f"{place}.{one_line(name)}: unknown; {advice}")
        if name in removed and name not in fields and not is_open:
            advice = hint(name, fields, "--discover lists them.")
            raise InputError(f"{place}.{one_line(name)}: there is no such field; {advice}")
        if (name == MAPPER_FILTER_OPTION and rule is not None) or (name not in MAP_OPTIONS and name not in removed):
            names = NAMES | fields | ({"self"} if name in fields or is_open else set())
            _check_expression(f"{place}.{one_line(name)}", rule, None if is_open else names)
    there = {*rules} - removed if MAPPER_ELSE_OPTION in rules else {*rules, *fields} - removed
    for stream in sources:
        for key in rules.get(MAPPER_KEY_PROPERTIES_OPTION, stream.primary_keys):
            if key not in there:
                raise InputError(
                    f"{place}: removes '{one_line(key)}', which is part of the key; keep it "
                    f'("{one_line(key)}": "{one_line(key)}"), or name other fields in {MAPPER_KEY_PROPERTIES_OPTION}.'
                )


def _check_expression(place: str, text: Any, names: Collection[str] | None) -> None:
    """Reject an expression that is invalid or uses unknown names; any name is valid if `names` is None."""
    if not isinstance(text, str):
        raise InputError(f"{place}: must be null or an expression; a map cannot reach into an object.")
    expression = _parsed(text)
    if expression is None:
        raise InputError(f"{place}: is not a valid expression.")
    if names is None:
        return
    for used in _names_in(expression):
        if used not in names:
            advice = hint(used, names, "--discover lists the fields.")
            raise InputError(f"{place}: uses '{one_line(used)}', which is not a field of the stream; {advice}")


def _names_in(expression: ast.AST) -> Iterator[str]:
    """Yield the names that an expression uses, including `record['name']` and `record.get('name')`."""
    own = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(expression):
        match node:
            case ast.Name(id=name) if name not in own:
                yield name
            case (
                ast.Subscript(value=ast.Name(id=whole), slice=ast.Constant(value=str(name)))
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id=whole), attr="get"),
                    args=[ast.Constant(value=str(name)), *_],
                )
            ) if whole in RECORDS:
                yield name


def check_aliases(plugin_mapper: PluginMapper) -> None:
    """Reject unusable stream names, and a name that two streams share: they would mix in one table.

    Raises:
        InputError: Names the streams.
    """
    taken: dict[object, str] = {}
    for stream, stream_maps in plugin_mapper.stream_maps.items():
        for stream_map in stream_maps:
            alias = None if isinstance(stream_map, RemoveRecordTransform) else stream_map.stream_alias
            if alias is not None and not (str(alias) == alias and alias and alias.isprintable()):
                raise InputError(f"Setting {SETTING}: the {MAPPER_ALIAS_OPTION} of '{stream}' is not a usable name.")
            if alias is not None and taken.setdefault(alias, stream) != stream:
                both = f"'{taken[alias]}' and '{stream}' would both be '{one_line(alias)}'"
                raise InputError(f"Setting {SETTING}: {both}; give them different names.")


def explain_failures(plugin_mapper: PluginMapper) -> None:
    """Make a map that fails for a record raise one line with stream and field, and nothing of the record."""
    for stream, stream_maps in plugin_mapper.stream_maps.items():
        what = f"Stream '{stream}': a record fails in {SETTING} or flattening"
        rules = [
            rule
            for name, fields in plugin_mapper.stream_maps_dict.items()
            if isinstance(fields, dict) and fnmatch.fnmatch(stream, fields.get(MAPPER_SOURCE_OPTION, name))
            for rule in fields.items()
        ]
        for stream_map in stream_maps:
            vars(stream_map)["transform"] = partial(_transformed, what, stream_map.transform)
            if isinstance(stream_map, CustomStreamMap):
                evaluator = stream_map.expr_evaluator
                vars(evaluator)["eval"] = partial(_evaluated, stream, rules, evaluator.eval)


def _transformed(what: str, transform: Callable[..., Any], record: dict[str, Any]) -> Any:
    with explained(what):
        return transform(record)


def _evaluated(
    stream: str, rules: Iterable[tuple[str, Any]], evaluate: Callable[..., Any], expr: str, **kwargs: Any
) -> Any:
    """Evaluate an expression; `rules` are the stream's fields with theirs, of which several may be the same."""
    names = [name for name, rule in rules if rule == expr]
    what = " or ".join(name if name == MAPPER_FILTER_OPTION else f"field '{one_line(name)}'" for name in names)
    with explained(f"Stream '{stream}': its map of {what} (setting {SETTING}) fails for a record"):
        value = evaluate(expr, **kwargs)
        encoder.encode(value)  # otherwise it would fail later, where its field is unknown
        return value


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Explain an error from outside the tap: what failed, and the type of the error, without its text.

    Raises:
        InputError: In place of any error that is not the tap's own.
    """
    try:
        yield
    except TapAircallError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        reason = type(cause).__name__
        if reason == "NameNotDefined":
            reason = f"the record has no '{one_line(vars(cause)['name'])}'; use record.get() for optional fields"
        raise InputError(f"{what}: {reason}.") from error
