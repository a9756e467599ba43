import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { mockProgram } from "./mock/plugin.js";

// Fixed file names and no inlining: the built page is committed, and it runs under a CSP without any inline part.
export default defineConfig({
  plugins: [svelte(), mockProgram()],
  server: { host: "127.0.0.1", port: 5173 },
  build: {
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/page.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
