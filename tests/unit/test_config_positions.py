"""Every key of a TOML document is found where it stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.config.positions import positions


def places(source: str) -> dict[str, str]:
    tomllib.loads(source)  # the scanner's precondition
    return {".".join(map(str, path)): str(place) for path, place in positions(source).items()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", {}),
        ("a = 1", {"a": "1:1"}),
        ("\n\n  a=1 # b = 2\nc = 3", {"a": "3:3", "c": "4:1"}),
        ("a = 1\r\n\tb = 2\r\n", {"a": "1:1", "b": "2:2"}),
        ("[t]\n  a = 1", {"t": "1:2", "t.a": "2:3"}),
        ("[ t . u ]\na = 1", {"t": "1:3", "t.u": "1:7", "t.u.a": "2:1"}),
        ("[t]\n[t.u]\nx=1", {"t": "1:2", "t.u": "2:4", "t.u.x": "3:1"}),
        ("a.b.c = 1\na.d = 2", {"a": "1:1", "a.b": "1:3", "a.b.c": "1:5", "a.d": "2:3"}),
        ("[t]\na . b = 1", {"t": "1:2", "t.a": "2:1", "t.a.b": "2:5"}),
        ("t = { a = 1, b.c = 2 }", {"t": "1:1", "t.a": "1:7", "t.b": "1:14", "t.b.c": "1:16"}),
        ("t = {}\nu = []", {"t": "1:1", "u": "2:1"}),
        ("[[b]]\nn=1\n[[b]]\nn=2", {"b": "1:3", "b.0": "1:3", "b.0.n": "2:1", "b.1": "3:3", "b.1.n": "4:1"}),
        (
            "[[b]]\n[b.j]\nu = 1\n[[b.k]]\nv = 1",
            {"b": "1:3", "b.0": "1:3", "b.0.j": "2:4", "b.0.j.u": "3:1", "b.0.k": "4:5", "b.0.k.0": "4:5",
             "b.0.k.0.v": "5:1"},
        ),
        ("a = [\n  1, # one\n  { b = 2 },\n]", {"a": "1:1", "a.0": "2:3", "a.1": "3:3", "a.1.b": "3:5"}),
        ('"x y" = 1\n\'z.w\' = 2', {"x y": "1:1", "z.w": "2:1"}),
        (r'"\u00e9\t" = 1', {"é\t": "1:1"}),
        ('a = "x = 1\\" # no"\nb = 1', {"a": "1:1", "b": "2:1"}),
        ("a = '''\nx = 1\n'''\nb = 1", {"a": "1:1", "b": "4:1"}),
        ('a = """\n\\"""\nx = 1""""\nb = 1', {"a": "1:1", "b": "4:1"}),
        ('a = """"x""""" \nb = 1', {"a": "1:1", "b": "2:1"}),
        ('a = ""\nb = \'\'\nc = 1', {"a": "1:1", "b": "2:1", "c": "3:1"}),
        ("a = 2026-11-21 03:03:46Z # now\nb = -inf\nc = 0x_f" .replace("0x_f", "0xf"),
         {"a": "1:1", "b": "2:1", "c": "3:1"}),
        ("ä = 1".replace("ä", '"ä"') + "\nb = { 'ö' = 1, c = 2 }", {"ä": "1:1", "b": "2:1", "b.ö": "2:7", "b.c": "2:16"}),
    ],
)  # fmt: skip
def test_each_key_is_found_where_it_stands(source: str, expected: dict[str, str]) -> None:
    assert places(source) == expected


KEYS = st.text("ab-_", min_size=1, max_size=3) | st.sampled_from(
    ['"a b"', "'c.d'", '"\\u00e9"', '"#"', "'='"]
)
SCALARS = st.sampled_from(
    ['"x"', '"[a]#"', "'a = 1'", "1", "true", '"""\nb = 1\n"""', "'''[t]'''", "1979-05-27"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ",\n # a = 1\n ".join(items) + "]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        )
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(st.lists(KEYS, min_size=1, max_size=3), VALUES).map(
        lambda pair: f"{'.'.join(pair[0])} = {pair[1]}"
    ),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[{' . '.join(keys)}]"),
    st.lists(KEYS, min_size=1, max_size=2).map(lambda keys: f"[[{'.'.join(keys)}]]"),
    st.just("# c = 1"),
)


def paths_of(value: object, prefix: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    match value:
        case dict():
            members = list(value.items())
        case list():
            members = list(enumerate(value))
        case _:
            members = []
    return {(*prefix, key) for key, _ in members}.union(*(paths_of(v, (*prefix, k)) for k, v in members))


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_the_keys_found_are_those_that_tomllib_finds(source: str) -> None:
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        return
    found = positions(source)
    assert set(found) == paths_of(document)
    lines = source.split("\n")
    for path, place in found.items():
        rest = lines[place.line - 1][place.column - 1 :]
        name = path[-1]
        if isinstance(name, str):
            assert rest.startswith((name, f"'{name}'", '"'))


def test_what_is_not_toml_ends_in_an_error_and_not_in_a_loop() -> None:
    with pytest.raises(ValueError, match="not TOML at 1:1"):
        positions("= 1")
