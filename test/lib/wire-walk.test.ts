import t from "tap";
import { type WireField, type WireShape, walkWire } from "../../dist/lib/formats/wire-walk.js";

const field = (name: string, kind: WireField["kind"], isRepeated = false): WireField => ({ name, kind, isRepeated });
const INNER: WireShape = new Map([[1, field("label", "text")]]);
const SHAPE: WireShape = new Map([
  [1, field("name", "text")],
  [2, field("count", "varint")],
  [3, field("ratio", "fixed32")],
  [4, field("total", "fixed64")],
  [5, field("inner", INNER, true)],
  [6, field("raw", "bytes")],
  [7, field("numbers", "varint", true)],
  [8, field("ratios", "fixed32", true)],
]);
const recursive = new Map<number, WireField>();
recursive.set(1, field("self", recursive));

const walk = (bytes: number[], shape = SHAPE) => walkWire(Uint8Array.from(bytes), shape, { maxElements: 10 });

t.test("elements are counted, of nested messages, packed values and unknown fields too", (t) => {
  t.same(walk([]), { elements: 0 });
  t.same(walk([0x0a, 2, 0xc3, 0xa9, 0x10, 0xff, 0x01, 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0]), {
    elements: 4,
  });
  t.same(walk([0x2a, 0, 0x2a, 3, 0x0a, 1, 65]), { elements: 3 });
  t.same(walk([0x32, 2, 0xff, 0xff]), { elements: 1 }, "bytes are any bytes");
  t.same(walk([0x3a, 3, 1, 0x80, 1, 0x38, 5]), { elements: 4 }, "packed and not");
  t.same(walk([0x42, 8, 0, 0, 0, 0, 0, 0, 0, 0]), { elements: 3 });
  t.same(walk([0x7a, 2, 0xff, 0xff, 0x78, 1]), { elements: 2 }, "unknown");
  t.match(walk(Array(11).fill([0x78, 1]).flat()), { problem: "too many elements", detail: /more than 10/ });
  t.match(walk([0x42, 40, ...Array(40).fill(0)]), { problem: "too many elements" });
  t.match(walk([0x3a, 11, ...Array(11).fill(0)]), { problem: "too many elements" });
  t.end();
});

t.test("what a decoder could not read, or would read otherwise, is malformed", (t) => {
  const cases: [string, number[], RegExp][] = [
    ["field 0", [0x00, 0], /no field begins at byte 0/],
    ["a tag of six bytes", [0x88, 0x80, 0x80, 0x80, 0x80, 0, 1], /no field begins/],
    ["a tag above 32 bits", [0xf8, 0xff, 0xff, 0xff, 0x7f, 0], /no field begins/],
    ["a tag that breaks off", [0x80], /breaks off/],
    ["a varint of eleven bytes", [0x10, ...Array(10).fill(0x80), 0], /more than 10 bytes/],
    ["a length that is none", [0x0a, ...Array(9).fill(0xff), 1], /name breaks off/],
    ["a length beyond the end", [0x0a, 2, 65], /name breaks off/],
    ["a message beyond the one it is in", [0x2a, 2, 0x0a, 1, 65], /label breaks off/],
    ["fixed numbers that break off", [0x1d, 0, 0, 0], /breaks off/],
    ["packed ones too", [0x42, 3, 0, 0, 0], /ratios breaks off/],
    ["a number for text", [0x08, 1], /name is of another type/],
    ["text for a number", [0x12, 1, 65], /count is of another type/],
    ["32 bits for 64", [0x25, 0, 0, 0, 0], /total is of another type/],
    ["64 bits for 32", [0x19, 0, 0, 0, 0, 0, 0, 0, 0], /ratio is of another type/],
    ["a group", [0x7b, 0x7c], /wire type 3/],
    ["wire type 7", [0x0f], /wire type 7/],
    ["an overlong slash", [0x0a, 2, 0xc0, 0xaf], /name is not UTF-8/],
    ["a surrogate", [0x0a, 3, 0xed, 0xa0, 0x80], /name is not UTF-8/],
    ["long text with one wrong byte", [0x0a, 100, ...Array(99).fill(65), 0xff], /name is not UTF-8/],
  ];
  for (const [name, bytes, detail] of cases) t.match(walk(bytes), { problem: "malformed", detail }, name);
  const nested = Array.from({ length: 33 }, (_, index) => [0x0a, 2 * index])
    .reverse()
    .flat();
  t.match(walkWire(Uint8Array.from(nested), recursive, { maxElements: 100 }), { detail: /more than 32 deep/ });
  t.match(walkWire(Uint8Array.from(nested.slice(4)), recursive, { maxElements: 100 }), { elements: 31 });
  t.end();
});
