"""The Sparkplug B payload as a protobuf message, built here from the field numbers of its specification.

Source: Sparkplug Specification 3.0.0, section 6.4, whose schema is `sparkplug_b.proto` of Eclipse Tahu (EPL-2.0); no
text of it is copied. Templates, data sets, properties and metadata are left as bytes: so a payload is nested two deep
and no more, whatever a gateway sends.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INT8, INT16, INT32, INT64 = 1, 2, 3, 4
UINT8, UINT16, UINT32, UINT64 = 5, 6, 7, 8
FLOAT, DOUBLE, BOOLEAN = 9, 10, 11
BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
"""Signed types: they are sent as the unsigned number of the same bits (two's complement)."""
WHOLE = {UINT8, UINT16, UINT32, UINT64}
NUMERIC = {*BITS, *WHOLE, FLOAT, DOUBLE, BOOLEAN}
"""Data types that can be a signal."""

_Field = descriptor_pb2.FieldDescriptorProto
_METRIC = {
    "name": (1, _Field.TYPE_BYTES),  # read as UTF-8 where it is used: protobuf would let other bytes pass
    "alias": (2, _Field.TYPE_UINT64),
    "timestamp": (3, _Field.TYPE_UINT64),
    "datatype": (4, _Field.TYPE_UINT32),
    "is_historical": (5, _Field.TYPE_BOOL),
    "is_transient": (6, _Field.TYPE_BOOL),
    "is_null": (7, _Field.TYPE_BOOL),
}
_VALUE = {
    "int_value": (10, _Field.TYPE_UINT32),
    "long_value": (11, _Field.TYPE_UINT64),
    "float_value": (12, _Field.TYPE_FLOAT),
    "double_value": (13, _Field.TYPE_DOUBLE),
    "boolean_value": (14, _Field.TYPE_BOOL),
    "string_value": (15, _Field.TYPE_BYTES),
    "bytes_value": (16, _Field.TYPE_BYTES),
    "dataset_value": (17, _Field.TYPE_BYTES),
    "template_value": (18, _Field.TYPE_BYTES),
}


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="fleetdx_sparkplug_b.proto", package="fleetdx", syntax="proto2")
    metric = file.message_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for fields, of_value in ((_METRIC, False), (_VALUE, True)):
        for name, (number, kind) in fields.items():
            field = metric.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
            if of_value:
                field.oneof_index = 0
    payload = file.message_type.add(name="Payload")
    payload.field.add(name="timestamp", number=1, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics", number=2, type=_Field.TYPE_MESSAGE, label=_Field.LABEL_REPEATED, type_name=".fleetdx.Metric"
    )
    payload.field.add(name="seq", number=3, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fleetdx.Payload"))


Payload = _build()
"""The message class; its ``FromString`` raises ``google.protobuf.message.DecodeError``."""
