// Drawn stand-ins for photos (SVG) with previews in the core's format 1, and a voice note made of noise: enough to look at
// the page, no file needed.

/** @param {number} n */
const rnd = (n) => {
  const x = Math.sin(n * 127.1 + 11.7) * 43758.5453;
  return x - Math.floor(x);
};

/** @typedef {{ sky: string, ground: string, draw: (w: number, h: number, seed: number) => string }} Scene */

/** @type {Record<string, Scene>} */
const SCENES = {
  roof: {
    sky: "#9fb6c6",
    ground: "#8d4a34",
    draw: (w, h, seed) => {
      let out = "";
      for (let row = 0; row < 11; row++)
        for (let col = -1; col < 14; col++) {
          const size = w / 13;
          const y = h * 0.3 + row * (h * 0.066);
          const x = col * size + (row % 2) * (size / 2);
          const shade = 105 + Math.floor(rnd(seed + row * 31 + col) * 60);
          const gone = rnd(seed * 3 + row * 17 + col * 7) > 0.972;
          out += `<path d="M${x} ${y}h${size}v${h * 0.062}q${-size / 2} ${size * 0.34} ${-size} 0z" fill="${gone ? "#2b2420" : `rgb(${shade + 30} ${Math.floor(shade * 0.55)} ${Math.floor(shade * 0.4)})`}" stroke="#4a241a" stroke-width="3"/>`;
        }
      return `${out}<path d="M0 ${h * 0.31}L${w} ${h * 0.27}" stroke="#6b3325" stroke-width="34"/><path d="M${w * (0.3 + rnd(seed) * 0.3)} ${h * 0.26}l24 40l-18 36l22 44" stroke="#1d1512" stroke-width="10" fill="none"/>`;
    },
  },
  wall: {
    sky: "#d8d2c4",
    ground: "#b9b0a0",
    draw: (w, h, seed) => {
      let crack = `M${w * 0.35} 0`;
      for (let i = 0; i < 14; i++) crack += `l${(rnd(seed + i) - 0.4) * 90} ${h / 14}`;
      return `<rect width="${w}" height="${h}" fill="#cfc8b8"/><rect y="${h * 0.82}" width="${w}" height="${h * 0.18}" fill="#6f6a60"/><path d="${crack}" stroke="#453f36" stroke-width="12" fill="none"/><rect x="${w * 0.62}" y="${h * 0.2}" width="${w * 0.26}" height="${h * 0.4}" fill="#5d7a8c" stroke="#f4f1ea" stroke-width="22"/>`;
    },
  },
  beams: {
    sky: "#4a3524",
    ground: "#7a5a3a",
    draw: (w, h, seed) => {
      let out = `<rect width="${w}" height="${h}" fill="#3a2a1d"/>`;
      for (let i = 0; i < 6; i++) {
        const x = (i / 6) * w + 20;
        const tone = 120 + Math.floor(rnd(seed + i) * 50);
        out += `<path d="M${x} ${h}L${w / 2 + (x - w / 2) * 0.25} ${h * 0.08}h34L${x + 110} ${h}z" fill="rgb(${tone + 30} ${tone} ${Math.floor(tone * 0.6)})" stroke="#2a1c10" stroke-width="5"/>`;
      }
      return `${out}<rect y="${h * 0.45}" width="${w}" height="60" fill="#8a6a43" stroke="#2a1c10" stroke-width="5"/><ellipse cx="${w * 0.7}" cy="${h * 0.75}" rx="150" ry="70" fill="#20303a" opacity=".55"/>`;
    },
  },
  pipe: {
    sky: "#7d8288",
    ground: "#5a5f63",
    draw: (w, h, seed) =>
      `<rect width="${w}" height="${h}" fill="#8b8f92"/><rect y="${h * 0.7}" width="${w}" height="${h * 0.3}" fill="#55595b"/><path d="M${w * 0.2} 0V${h * 0.55}q0 90 90 90H${w}" stroke="#b6672f" stroke-width="70" fill="none"/><path d="M${w * 0.2} 0V${h * 0.55}q0 90 90 90H${w}" stroke="#e2a06a" stroke-width="16" fill="none"/><circle cx="${w * (0.5 + rnd(seed) * 0.3)}" cy="${h * 0.67}" r="75" fill="#a32b22"/><rect x="${w * 0.45}" y="${h * 0.72}" width="18" height="120" fill="#9cc3da" opacity=".8"/>`,
  },
};

/** @param {{ scene: string, width: number, height: number, seed: number }} p */
export function svg({ scene, width, height, seed }) {
  const s = SCENES[scene] ?? SCENES.roof;
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><defs><filter id="n" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency=".035" numOctaves="4" seed="${seed}"/><feColorMatrix values="0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 .9 .9 .9 0 -1.1"/></filter><linearGradient id="s" x2="0" y2="1"><stop stop-color="${s?.sky}"/><stop offset="1" stop-color="#e9e4d8"/></linearGradient></defs><rect width="100%" height="100%" fill="url(#s)"/>${s?.draw(width, height, seed)}<rect width="100%" height="100%" filter="url(#n)" opacity=".35"/></svg>`,
  );
}

/** @param {string} hex */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** A preview in the core's format 1. @param {{ scene: string, width: number, height: number, seed: number }} p */
export function preview({ scene, width, height, seed }) {
  const s = SCENES[scene] ?? SCENES.roof;
  const [w, h] = width >= height ? [16, 12] : [12, 16];
  const luma = [];
  /** @type {number[]} */ const cb = [];
  /** @type {number[]} */ const cr = [];
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const base = rgb((y / h < 0.28 ? s?.sky : s?.ground) ?? "#888888");
      const shade = 0.8 + rnd(seed + x * 3 + y * 5) * 0.35;
      const [r = 0, g = 0, b = 0] = base.map((v) => Math.min(255, v * shade));
      const yy = 0.299 * r + 0.587 * g + 0.114 * b;
      luma.push(Math.round(yy));
      if (x % 2 === 0 && y % 2 === 0) {
        cb.push(Math.round(128 + (b - yy) / 1.772));
        cr.push(Math.round(128 + (r - yy) / 1.402));
      }
    }
  return Buffer.from([1, w, h, ...luma, ...cb, ...cr]).toString("base64");
}

/** A few syllables of hum. @param {number} seconds */
export function wav(seconds) {
  const rate = 8000;
  const n = rate * seconds;
  const out = Buffer.alloc(44 + n * 2);
  out.write("RIFF", 0);
  out.writeUInt32LE(36 + n * 2, 4);
  out.write("WAVEfmt ", 8);
  out.writeUInt32LE(16, 16);
  out.writeUInt16LE(1, 20);
  out.writeUInt16LE(1, 22);
  out.writeUInt32LE(rate, 24);
  out.writeUInt32LE(rate * 2, 28);
  out.writeUInt16LE(2, 32);
  out.writeUInt16LE(16, 34);
  out.write("data", 36);
  out.writeUInt32LE(n * 2, 40);
  for (let i = 0; i < n; i++) {
    const time = i / rate;
    const loud = Math.max(0, Math.sin(time * 9)) * (0.4 + 0.6 * rnd(Math.floor(time * 3)));
    const tone = Math.sin(time * 2 * Math.PI * (130 + 30 * Math.sin(time * 4))) + 0.4 * Math.sin(time * 2 * Math.PI * 420);
    out.writeInt16LE(Math.round(loud * tone * 9000), 44 + i * 2);
  }
  return out;
}

/** @param {number} seed */
export const waveform = (seed) =>
  Array.from({ length: 64 }, (_, i) => Math.round(40 + 200 * rnd(seed + i) * Math.abs(Math.sin(i / 5 + seed)) ** 0.6));
