"""Which features and attributes a log has, and of which types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from gnomon_capture.errors import SettingsError
from gnomon_replay.pairs import pairs_schema, struct_of
from gnomon_replay.shape import MAX_FIELDS, FeatureTypeError, Shape

BIG = 2**53 + 1


def learnt(*values: Any) -> pa.DataType | None:
    """The type of a feature that had these values in one block."""
    shape = Shape({}, ())
    shape.learn({"x": value} for value in values)
    return shape.feature_types.get("x")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True], pa.bool_()),
        (["UA"], pa.string()),
        (["1"], pa.string()),
        ([1], pa.float64()),
        ([1.5], pa.float64()),
        ([2**53], pa.float64()),
        ([1, BIG], pa.int64()),
        ([BIG, 1], pa.int64()),
        ([1.5, -BIG], pa.int64()),
        ([2**63 - 1], pa.int64()),
        ([2**63], pa.float64()),
        ([None, None], None),
        ([None, "UA"], pa.string()),
    ],
)
def test_a_type_is_learnt_from_values(values: list[Any], kind: pa.DataType | None) -> None:
    assert learnt(*values) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["N/A", 1.0, 2.0], pa.float64()),
        ([1, "UA", "AA"], pa.string()),
        ([True, 0, 1], pa.float64()),
        (["x", 1, BIG], pa.int64()),
        (["UA", 1], pa.string()),
        ([1, "UA"], pa.float64()),
    ],
)
def test_most_values_win_so_that_one_bad_record_fixes_no_type(values: list[Any], kind: pa.DataType) -> None:
    assert learnt(*values) == kind


def test_a_type_once_learnt_stays() -> None:
    shape = Shape({}, ())
    shape.learn([{"x": 1}])
    shape.learn([{"x": "UA"}] * 9)
    assert shape.feature_types == {"x": pa.float64()}


def test_declared_types_are_not_learnt_anew_and_the_rest_is() -> None:
    shape = Shape.declared({"id": "int64", "flag": "bool", "code": "string"})
    shape.learn([{"id": 1, "flag": True, "code": 7, "new": 1}])
    assert shape.feature_types == {
        "id": pa.int64(),
        "flag": pa.bool_(),
        "code": pa.string(),
        "new": pa.float64(),
    }


@pytest.mark.parametrize(
    "features", [{"a": "double", "A": "double"}, {"straße": "double", "STRASSE": "bool"}, {"": "double"}]
)
def test_what_a_table_cannot_hold_is_not_declared(features: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"features\."):
        Shape.declared(features)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("double", 1, 1.0),
        ("double", 2**53, float(2**53)),
        ("double", None, None),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("bool", False, False),
        ("string", "", ""),
    ],
)
def test_a_value_of_its_type_fits(kind: str, value: Any, stored: Any) -> None:
    fitted = Shape.declared({"x": kind}).fit("x", value)
    assert (fitted, type(fitted)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", BIG),
        ("double", -BIG),
        ("double", 10**400),
        ("double", True),
        ("double", "1"),
        ("int64", 1.0),
        ("int64", 2**63),
        ("int64", True),
        ("bool", 1),
        ("bool", "true"),
        ("string", 1),
        ("string", True),
    ],
)
def test_a_value_of_another_type_does_not(kind: str, value: Any) -> None:
    with pytest.raises(FeatureTypeError, match="`x`"):
        Shape.declared({"x": kind}).fit("x", value)


def test_a_large_integer_is_told_what_to_declare() -> None:
    with pytest.raises(FeatureTypeError, match="declare it as int64"):
        Shape.declared({"x": "double"}).fit("x", BIG)


def test_names_differ_by_more_than_case() -> None:
    shape = Shape({"carrier": pa.string()}, ["region"])
    shape.learn([{"Carrier": "UA", "CARRIER": 1}])
    shape.learn_attributes([{"Region": "eu"}])
    assert (list(shape.feature_types), shape.attributes) == (
        ["carrier"],
        struct_of([("region", pa.string())]),
    )
    with pytest.raises(FeatureTypeError, match="is spelt `carrier`"):
        shape.fit("Carrier", "UA")
    with pytest.raises(FeatureTypeError, match="is spelt `region`"):
        shape.fit_attribute("Region", "eu")
    assert (shape.fit("Carrier", None), shape.fit_attribute("Region", None)) == (None, None)


@pytest.mark.parametrize("name", ["", "a\0b", "\udc00"])
def test_a_name_that_a_table_cannot_have_is_refused_and_never_learnt(name: str) -> None:
    shape = Shape({}, ())
    shape.learn([{name: 1, "x": 1}])
    shape.learn_attributes([{name: "a"}])
    assert list(shape.feature_types) == ["x"]
    assert shape.attributes == struct_of([])
    with pytest.raises(FeatureTypeError, match="no name"):
        shape.fit(name, 1)


def test_names_without_end_do_not_widen_the_log_without_end() -> None:
    shape = Shape({}, ())
    shape.learn({f"user_{number}": 1.0} for number in range(MAX_FIELDS + 10))
    assert len(shape.feature_types) == MAX_FIELDS
    assert shape.fit("user_0", 1) == 1.0
    with pytest.raises(FeatureTypeError, match="put what is not tabular into `payload`"):
        shape.fit("one_more", 1)


def test_a_tables_fields_win_over_what_is_known_here() -> None:
    shape = Shape({"a": pa.float64(), "Carrier": pa.string(), "own": pa.bool_()}, ["region"])
    theirs = struct_of([("carrier", pa.string()), ("a", pa.string())])
    shape.adopt(pairs_schema(theirs, struct_of([("Region", pa.string())])))
    assert shape.features == struct_of([("carrier", pa.string()), ("a", pa.string()), ("own", pa.bool_())])
    assert shape.attributes == struct_of([("Region", pa.string())])


def test_a_table_without_features_changes_nothing() -> None:
    shape = Shape({"a": pa.float64()}, ["region"])
    shape.adopt(pairs_schema(struct_of([]), struct_of([])))
    assert (shape.features, shape.attributes) == (
        struct_of([("a", pa.float64())]),
        struct_of([("region", pa.string())]),
    )
