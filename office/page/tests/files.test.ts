import { expect, it } from "vitest";
import { kindOf } from "../src/lib/outgoing.svelte";

it("sends each file as what it is", () => {
  const kind = (name: string, type: string) => kindOf({ name, type });
  expect(kind("dach.jpg", "image/jpeg")).toBe("photo");
  expect(kind("IMG_1.HEIC", "")).toBe("photo");
  expect(kind("notiz.m4a", "audio/mp4")).toBe("voice");
  expect(kind("rundgang.mp4", "video/mp4")).toBe("video");
  expect(kind("plan.svg", "image/svg+xml")).toBe("document");
  expect(kind("Angebot.pdf", "application/pdf")).toBe("document");
});
