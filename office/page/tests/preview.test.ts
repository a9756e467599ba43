import { expect, it } from "vitest";
import { decodePreview } from "../src/lib/preview";
import { preview } from "../mock/pictures.js";

const base64 = (...bytes: number[]) => btoa(String.fromCharCode(...bytes));

it("draws the colours of format 1", () => {
  // One grey pixel, then two by one: red-ish chroma shared by both.
  expect(decodePreview(base64(1, 1, 1, 100, 128, 128))).toEqual({ width: 1, height: 1, rgba: new Uint8ClampedArray([100, 100, 100, 255]) });
  const two = decodePreview(base64(1, 2, 1, 76, 255, 85, 255));
  // R = y + 1.402 · 127, G = y + 0.344136 · 43 − 0.714136 · 127, B = y − 1.772 · 43, held in 0 to 255.
  expect([...(two?.rgba ?? [])]).toEqual([254, 0, 0, 255, 255, 179, 179, 255]);
});
it("draws a whole one and nothing that is cut, longer, empty, of another format, or not base64", () => {
  const whole = preview({ scene: "roof", width: 2048, height: 1536, seed: 1 });
  expect(decodePreview(whole)).toMatchObject({ width: 16, height: 12 });
  expect(decodePreview(null)).toBeNull();
  expect(decodePreview("")).toBeNull();
  expect(decodePreview("ä?")).toBeNull();
  expect(decodePreview(base64(2, 1, 1, 100, 128, 128))).toBeNull();
  expect(decodePreview(base64(1, 0, 0))).toBeNull();
  expect(decodePreview(base64(1, 1, 1, 100, 128))).toBeNull();
  expect(decodePreview(base64(1, 1, 1, 100, 128, 128, 0))).toBeNull();
  expect(decodePreview(base64(1, 255, 255))).toBeNull();
  expect(decodePreview("A".repeat(1_000_000))).toBeNull();
});
