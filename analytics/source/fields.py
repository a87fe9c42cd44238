"""Columns as Spark names and types them, and what the nodes call the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from analytics.errors import BadOption

FIXED: Mapping[str, DataType] = {
    "sensor": StringType(),
    "time": TimestampType(),
    "lon": DoubleType(),
    "lat": DoubleType(),
    "version": LongType(),
}
"""Every record has these, in this order."""
KINDS: Mapping[str, DataType] = {
    "number": DoubleType(),
    "text": StringType(),
    "boolean": BooleanType(),
    "bytes": BinaryType(),
    "json": StringType(),
}
"""What the nodes call a value's type → its type in Spark; json is its text."""
NARROWER = (LongType(), IntegerType(), FloatType())
"""Types that a schema given by the user may have besides; what does not fit them is null."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a read.

    Attributes:
        kind: fixed, or what the nodes call the value's type; a value that nobody knows yet has
            the kind of its type in Spark.
        arrow: the type that Spark expects.
        natural: the type is the one that the source itself would give.
    """

    name: str
    kind: str
    arrow: pa.DataType
    natural: bool


def spark_schema(kinds: Mapping[str, str], columns: Sequence[str] | None) -> StructType:
    """The schema of a collection.

    Args:
        kinds: value name → kind.
        columns: only these, in this order.
    Raises:
        BadOption: a column that there is not.
    """
    names = list(columns) if columns is not None else [*FIXED, *sorted(kinds)]
    unknown = [name for name in names if name not in FIXED and name not in kinds]
    if unknown:
        known = ", ".join([*FIXED, *sorted(kinds)][:50])
        raise BadOption(f"option columns names {unknown[0]!r}, which is unknown; there are {known}")
    return StructType(
        [
            StructField(name, FIXED[name], nullable=False)
            if name in FIXED
            else StructField(name, KINDS[kinds[name]])
            for name in names
        ]
    )


def read_fields(schema: StructType, kinds: Mapping[str, str]) -> list[Field]:
    """The columns of a schema, which may be the user's own.

    Raises:
        BadOption: a type that stored values cannot be read as.
    """
    arrow = to_arrow_schema(schema, timezone="UTC")
    fields = []
    for position, field in enumerate(schema.fields):
        usual = FIXED.get(field.name) or KINDS.get(kinds.get(field.name, ""))
        if field.name in FIXED:
            if field.dataType != usual:
                raise _refused(field, [FIXED[field.name]])
            kind = "fixed"
        else:
            if field.dataType not in (*KINDS.values(), *NARROWER):
                raise _refused(field, [*KINDS.values(), *NARROWER])
            kind = kinds.get(field.name) or _kind_of(field.dataType)
        natural = field.dataType == usual
        fields.append(Field(field.name, kind, arrow.field(position).type, natural))
    return fields


def arrow_schema(schema: StructType) -> pa.Schema:
    """The exact schema that Spark expects of every batch."""
    return to_arrow_schema(schema, timezone="UTC")


def _kind_of(kind: DataType) -> str:
    return next((name for name, known in KINDS.items() if known == kind), "number")


def _refused(field: StructField, types: Sequence[Any]) -> BadOption:
    names = ", ".join(dict.fromkeys(kind.simpleString() for kind in types))
    return BadOption(
        f"schema: {field.name} cannot be read as {field.dataType.simpleString()}; "
        f"choose one of {names}"
    )
