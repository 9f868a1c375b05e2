"""How two JSON values differ: each kind by itself, each matcher, and what no matcher may hide."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import from_mapping
from gnomon_diff.differing import Differing
from gnomon_diff.jsondiff import KINDS, differences
from gnomon_diff.jsonpaths import child, is_path, paths_of
from hypothesis import given
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def found(one: Any, other: Any, paths: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    settings = from_mapping(Differing, {"paths": paths or {}}, "disagreement")
    return [(each.path, each.kind) for each in differences(one, other, settings.paths)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("$.a", "value")]),
        ({"a": 1}, {"a": "1"}, [("$.a", "type")]),
        ({"a": 1}, {"a": True}, [("$.a", "type")]),
        ([1], [True], [("$[*]", "type")]),
        ({"a": None}, {}, [("$.a", "missing")]),
        ({}, {"a": None}, [("$.a", "extra")]),
        ([1, 2, 3], [3, 1, 2], [("$", "order")]),
        ([1, 2], [1, 2, 3], [("$", "length")]),
        ([1, 2], [2, 2, 3], [("$", "length"), ("$[*]", "value")]),
        ([{"p": 1}, {"p": 2}], [{"p": 1}, {"p": 5}], [("$[*].p", "value")]),
        ({"a b": {"c": 1}}, {"a b": {"c": 2}}, [('$."a b".c', "value")]),
        ({"a": []}, {"a": {}}, [("$.a", "type")]),
        ("x", "x", []),
        (float("nan"), float("nan"), []),
    ],
)
def test_each_kind_is_told_with_its_path(one: Any, other: Any, expected: list[tuple[str, str]]) -> None:
    assert found(one, other) == expected


@pytest.mark.parametrize(
    ("matcher", "alike", "unlike"),
    [
        ({"max_absolute": 0.5}, [(1, 1.5), (1.5, 1)], [(1, 1.6), (1, "1"), (None, 1)]),
        ({"max_relative": 0.1}, [(100, 110), (-100, -91)], [(100, 112), (1, -1)]),
        ({"max_absolute": 1, "max_relative": 0.1}, [(100, 110), (1, 2)], [(100, 112)]),
        ({"pattern": "id-[0-9]+"}, [("id-1", "id-22")], [("id-1", "id-x"), ("id-1", "id-1 "), ("id-1", 1)]),
        ({"present": True}, [(1, "x"), ([1], {})], []),
        (
            {"any_order": True},
            [([1, 2], [2, 1]), ([[1], "a"], ["a", [1]])],
            [([1, 1], [1, 2]), ([1], [1, 1])],
        ),
        ({"ignore": True}, [(1, "x")], []),
        ({"max_absolute": 1}, [(10**400, 10**400)], [(10**400, 1)]),
    ],
)
def test_each_matcher_passes_what_it_says_and_nothing_else(
    matcher: dict[str, Any], alike: list[tuple[Any, Any]], unlike: list[tuple[Any, Any]]
) -> None:
    paths = {"$.a": matcher}
    assert [found({"a": one}, {"a": other}, paths) for one, other in alike] == [[]] * len(alike)
    assert all(found({"a": one}, {"a": other}, paths) for one, other in unlike)
    assert found({"b": 1}, {"b": 2}, paths) == [("$.b", "value")]


def test_only_ignore_passes_a_missing_or_an_added_field() -> None:
    for matcher in ({"max_absolute": 9}, {"pattern": ".*"}, {"present": True}, {"any_order": True}):
        assert found({"a": 1}, {}, {"$.a": matcher}) == [("$.a", "missing")]
        assert found({}, {"a": 1}, {"$.a": matcher}) == [("$.a", "extra")]
    assert found({"a": 1}, {}, {"$.a": {"ignore": True}}) == []
    assert found({}, {"a": {"b": 1}}, {"$.a": {"ignore": True}}) == []


def test_elements_in_any_order_are_compared_by_their_own_matchers() -> None:
    paths = {"$.items": {"any_order": True}, "$.items[*].price": {"max_absolute": 0.01}}
    one = {"items": [{"sku": 1, "price": 1.0}, {"sku": 2, "price": 2.0}]}
    assert found(one, {"items": [{"sku": 2, "price": 2.005}, {"sku": 1, "price": 1.0}]}, paths) == []
    assert found(one, {"items": [{"sku": 2, "price": 2.5}, {"sku": 1, "price": 1.0}]}, paths) == [
        ("$.items[*].price", "value")
    ]


def test_order_is_not_told_where_a_matcher_passes_the_elements_as_they_stand() -> None:
    assert found([1, 1.001], [1.001, 1], {"$[*]": {"max_absolute": 0.1}}) == []


@given(values)
def test_a_value_never_differs_from_itself(value: Any) -> None:
    assert found(value, json.loads(json.dumps(value))) == []


@given(values, values)
def test_the_kinds_are_closed_and_their_paths_are_in_the_values(one: Any, other: Any) -> None:
    there = set(paths_of(one)) | set(paths_of(other))
    differ = list(differences(one, other, {}))
    assert {each.kind for each in differ} <= set(KINDS)
    assert {each.path for each in differ} <= there
    # Text decides, and Python's own equality takes 1 for True and 1.0 for 1.
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert not (same and differ)
    assert differ or one == other


@given(values, values)
def test_the_other_way_round_missing_is_extra(one: Any, other: Any) -> None:
    swapped = {"missing": "extra", "extra": "missing"}
    there = sorted((each.path, each.kind) for each in differences(one, other, {}))
    back = sorted((each.path, swapped.get(each.kind, each.kind)) for each in differences(other, one, {}))
    assert there == back


@given(st.text(max_size=5))
def test_every_name_makes_a_path(name: str) -> None:
    assert is_path(child("$", name)) or "\n" in name


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"total": {"ignore": True}}, "'total' is no path; write $.name"),
        ({"$.a": {}}, "exactly one matcher"),
        ({"$.a": {"ignore": True, "present": True}}, "exactly one matcher"),
        ({"$.a": {"ignore": False}}, "ignore"),
        ({"$.a": {"pattern": "("}}, "is no pattern"),
        ({"$.a": {"ignored": True}}, "unknown field"),
    ],
)
def test_a_wrong_matcher_is_refused_with_what_is_right(paths: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping(Differing, {"paths": paths}, "disagreement")
    assert message in str(caught.value)
