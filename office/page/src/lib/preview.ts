// The preview inside a photo's op (format 1 of the core's media/preview.rs): a grid of colours of at most 300 bytes, drawn
// scaled up before anything is loaded. The format lives in this file alone.

export interface Pixels {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

const FORMAT = 1;
const MAX_BYTES = 300;

function bytesOf(base64: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

/** null for anything but format 1, whole: it came from another device. */
export function decodePreview(base64: string | null): Pixels | null {
  if (!base64 || base64.length > (MAX_BYTES / 3) * 4) return null;
  const bytes = bytesOf(base64);
  if (!bytes || bytes[0] !== FORMAT) return null;
  const [, width = 0, height = 0] = bytes;
  const squares = Math.ceil(width / 2);
  const chroma = squares * Math.ceil(height / 2);
  const luma = width * height;
  if (luma === 0 || bytes.length !== 3 + luma + 2 * chroma) return null;
  // The clamped array rounds and holds in 0 to 255.
  const rgba = new Uint8ClampedArray(luma * 4);
  for (let at = 0; at < luma; at++) {
    const square = 3 + luma + (Math.floor(at / width) >> 1) * squares + ((at % width) >> 1);
    const y = bytes[3 + at] ?? 0;
    const b = (bytes[square] ?? 128) - 128;
    const r = (bytes[square + chroma] ?? 128) - 128;
    rgba.set([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b, 255], at * 4);
  }
  return { width, height, rgba };
}

export function paint(canvas: HTMLCanvasElement, pixels: Pixels): void {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d")?.putImageData(new ImageData(pixels.rgba, pixels.width, pixels.height), 0, 0);
}
