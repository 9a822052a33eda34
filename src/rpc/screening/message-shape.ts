import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { WireField, WireKind, WireShape } from "../../lib/formats/wire-walk.js";

/** The shape that messages of a type have on the wire. */
export function shapeOf(message: DescMessage, known = new Map<string, WireShape>()): WireShape {
  const before = known.get(message.typeName);
  if (before !== undefined) return before;
  const shape = new Map<number, WireField>();
  // Before its fields are looked at: one of them may be a message of the same type.
  known.set(message.typeName, shape);
  for (const field of message.fields) {
    const { name, number } = field;
    shape.set(number, { name, kind: kindOf(field, known), isRepeated: field.fieldKind === "list" });
  }
  return shape;
}

function kindOf(field: DescField, known: Map<string, WireShape>): WireKind {
  if (field.fieldKind === "map" || (field.message !== undefined && field.delimitedEncoding)) {
    throw new Error(`field ${field} is written in a way that the walk over the wire does not know`);
  }
  if (field.message !== undefined) return shapeOf(field.message, known);
  // Enumerations are written as numbers.
  return field.scalar === undefined ? "varint" : KIND[field.scalar];
}

const KIND: Record<ScalarType, WireKind> = {
  [ScalarType.BOOL]: "varint",
  [ScalarType.INT32]: "varint",
  [ScalarType.INT64]: "varint",
  [ScalarType.UINT32]: "varint",
  [ScalarType.UINT64]: "varint",
  [ScalarType.SINT32]: "varint",
  [ScalarType.SINT64]: "varint",
  [ScalarType.FIXED32]: "fixed32",
  [ScalarType.SFIXED32]: "fixed32",
  [ScalarType.FLOAT]: "fixed32",
  [ScalarType.FIXED64]: "fixed64",
  [ScalarType.SFIXED64]: "fixed64",
  [ScalarType.DOUBLE]: "fixed64",
  [ScalarType.STRING]: "text",
  [ScalarType.BYTES]: "bytes",
};
