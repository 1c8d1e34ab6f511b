"""The wire format of Protocol Buffers, read without a schema: `Message`, used by the ONNX reader.

Source: the encoding page of the Protocol Buffers documentation. A message is a range of the file; its fields are walked
one by one, and what the caller does not take is passed over without being read. Groups are refused: ONNX has none.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from berth_store.headers.file import HeaderFile

MAX_VARINT_BYTES = 10
U64 = 1 << 64
I64 = 1 << 63


class WireType(IntEnum):
    """How a field's value is written."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


# By the number in a field's tag; looked up a million times, so no call of the enumeration.
_WIRE_TYPES = {int(wire): wire for wire in WireType}
_FIXED_BYTES = {WireType.FIXED64: 8, WireType.FIXED32: 4}


class Field(NamedTuple):
    """One field: a number's `value`, or for `BYTES` the range from `start` to `end` in the file."""

    number: int
    wire: WireType
    value: int
    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes of the value."""
        return self.end - self.start

    @property
    def signed(self) -> int:
        """The value as a signed 64-bit integer."""
        return self.value - U64 if self.value >= I64 else self.value


class WireReader:
    """Walks messages of one file; `max_fields` bounds the steps of all walks together."""

    def __init__(self, file: HeaderFile, *, max_fields: int) -> None:
        self.file = file
        self._fields_left = max_fields
        self._max_fields = max_fields

    def fields(self, start: int, end: int, what: str) -> Iterator[Field]:
        """The fields of the message between `start` and `end`; other ranges may be read between two of them."""
        file, at = self.file, start
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise file.refuse(f"it has more than {self._max_fields:,} fields, and no real model does")
            file.at = at
            field = self._field(end, what)
            at = field.end
            yield field

    def bytes(self, field: Field, most: int, what: str) -> bytes:
        """The bytes of a field, which may be `most` long."""
        if field.wire is not WireType.BYTES:
            raise self.file.refuse(f"{what} is a number, and it has to be bytes")
        if field.length > most:
            raise self.file.refuse(f"{what} has {field.length:,} bytes, and at most {most:,} are allowed")
        self.file.at = field.start
        return self.file.take(field.length, what)

    def text(self, field: Field, most: int, what: str) -> str:
        """The text of a field."""
        try:
            return self.bytes(field, most, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.file.refuse(f"{what} is not UTF-8") from error

    def integers(self, field: Field, most: int, what: str) -> tuple[int, ...]:
        """The signed integers of a repeated field, packed or not."""
        if field.wire is WireType.VARINT:
            return (field.signed,)
        if field.wire is not WireType.BYTES or field.length > most * MAX_VARINT_BYTES:
            raise self.file.refuse(f"{what} is no list of at most {most:,} integers")
        self.file.at = field.start
        numbers = []
        while self.file.at < field.end:
            number = self._varint(field.end, what)
            numbers.append(number - U64 if number >= I64 else number)
        return tuple(numbers)

    def _field(self, end: int, what: str) -> Field:
        file = self.file
        tag = self._varint(end, what)
        number, wire = tag >> 3, _WIRE_TYPES.get(tag & 7)
        if number == 0 or wire is None:
            raise file.refuse(f"{what} has a field with number {number:,} and wire type {tag & 7}, which do not exist")
        if wire is WireType.VARINT:
            value = self._varint(end, what)
            return Field(number, wire, value, file.at, file.at)
        length = _FIXED_BYTES.get(wire)
        if length is None:
            length = self._varint(end, what)
        start = file.at
        if start + length > end:
            raise file.refuse(
                f"the file is cut off or lies: field {number} of {what}, which begins at byte {start:,}, "
                f"ends at byte {start + length:,}, beyond the end at byte {end:,} of what holds it"
            )
        value = int.from_bytes(file.take(length, what), "little") if wire is not WireType.BYTES else 0
        return Field(number, wire, value, start, start + length)

    def _varint(self, end: int, what: str) -> int:
        """A number in groups of 7 bits, the lowest first; the top bit of a byte says that another follows."""
        file, value = self.file, 0
        for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
            if file.at >= end:
                raise file.refuse(f"the file is cut off or lies: a number in {what} ends beyond byte {end:,}")
            byte = file.take_byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise file.refuse(f"{what} has a number of more than {MAX_VARINT_BYTES} bytes at byte {file.at:,}")
        if value >= U64:
            raise file.refuse(f"{what} has a number of more than 64 bits at byte {file.at:,}")
        return value
