// The ≤ 300 bytes that come inside a photo's op, as colours to show before anything is loaded. The format lives in this
// file alone.
import { thumbHashToRGBA } from "thumbhash";

export interface Pixels {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

const MAX_BYTES = 300;

/** null for anything that isn't a preview: it came from another device. */
export function decodePreview(base64: string | null): Pixels | null {
  if (!base64 || base64.length > (MAX_BYTES * 4) / 3 + 4) return null;
  try {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    if (bytes.length < 5) return null;
    const { w, h, rgba } = thumbHashToRGBA(bytes);
    if (!(w > 0 && h > 0 && rgba.length === w * h * 4)) return null;
    return { width: w, height: h, rgba: new Uint8ClampedArray(rgba) };
  } catch {
    return null;
  }
}

export function paint(canvas: HTMLCanvasElement, pixels: Pixels): void {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d")?.putImageData(new ImageData(pixels.rgba, pixels.width, pixels.height), 0, 0);
}
