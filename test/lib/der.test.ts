import t from "tap";
import {
  contentOf,
  DER_TAG,
  encodeElement,
  encodeSequence,
  readElements,
  walkElements,
} from "../../dist/lib/formats/der.js";

const hex = (text: string) => Buffer.from(text, "hex");
/** So many SEQUENCEs around nothing. */
const nested = (depth: number): Buffer => (depth === 0 ? Buffer.alloc(0) : encodeSequence(nested(depth - 1)));

t.test("lengths are written in the shortest form, and read again", async (t) => {
  for (const [length, head] of [
    [0, "0400"],
    [127, "047f"],
    [128, "048180"],
    [255, "0481ff"],
    [256, "04820100"],
    [65_535, "0482ffff"],
    [65_536, "0483010000"],
    [16_777_215, "0483ffffff"],
  ] as const) {
    const content = Buffer.alloc(length, 7);
    const encoded = encodeElement(DER_TAG.octetString, content.subarray(0, 1), content.subarray(1));
    t.equal(encoded.subarray(0, head.length / 2).toString("hex"), head);
    const [read, ...more] = readElements(encoded);
    t.ok(read?.tag === DER_TAG.octetString && read.content.equals(content) && read.encoded.equals(encoded));
    t.equal(more.length, 0);
  }
});

t.test("elements that stand one after the other are read in their order", async (t) => {
  const elements = readElements(hex("020101" + "0500" + "3003020102"));
  t.same(
    elements.map(({ tag, content }) => [tag, content.toString("hex")]),
    [
      [DER_TAG.integer, "01"],
      [DER_TAG.null, ""],
      [DER_TAG.sequence, "020102"],
    ],
  );
  t.same(readElements(Buffer.alloc(0)), []);
  t.equal(contentOf(elements[0], DER_TAG.integer).toString("hex"), "01");
  t.throws(() => contentOf(elements[0], DER_TAG.null), { message: "an element 2 where 5 belongs" });
  t.throws(() => contentOf(elements[3], DER_TAG.null), { message: "an element undefined where 5 belongs" });
});

t.test("what is not DER is not read", async (t) => {
  for (const [what, text, message] of [
    ["a tag alone", "02", /breaks off/],
    ["content that is too short", "020201", /breaks off/],
    ["a length that is too short", "0282ff", /./],
    ["the indefinite length", "30800000", /impossible length/],
    ["a length of four bytes", "028400000001" + "00", /impossible length/],
    ["a long form where the short one does", `02817f${"00".repeat(127)}`, /not DER/],
    ["a length with a leading zero", `02820080${"00".repeat(128)}`, /not DER/],
  ] as const) {
    t.throws(() => readElements(hex(text)), { message }, what);
  }
});

t.test("elements are walked to the bottom of each", async (t) => {
  for (const text of [
    "0101ff" + "020100" + "0500",
    "03020780",
    "0603551d1e",
    "300b" + "0603551d1e" + "040430800000",
    "a00302010a",
    `0640${"01".repeat(64)}`,
  ]) {
    t.doesNotThrow(() => walkElements(hex(text)), text);
  }
  for (const [what, text] of [
    ["a truth of two bytes", "01020000"],
    ["a number without a byte", "0200"],
    ["a bit string that does not say what is unused", "0300"],
    ["eight unused bits", "030208ff"],
    ["a null with content", "050100"],
    ["an object identifier of nothing", "0600"],
    ["an object identifier that does not end", "06025581"],
    ["an object identifier of 65 bytes", `0641${"01".repeat(65)}`],
    ["a tag of several bytes", "1f810100"],
    ["something malformed inside", "3004300202ff"],
    ["the same in a tag of the context", "a00250ff"],
  ] as const) {
    t.throws(() => walkElements(hex(text)), what);
  }
  t.doesNotThrow(() => walkElements(nested(16)));
  t.throws(() => walkElements(nested(18)), { message: /too deep/ });
});
