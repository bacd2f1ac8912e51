import { defineConfig } from "vite";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // The page's policy allows no data: scripts and few pictures, and small files cost nothing.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` shows the sources on the data of a running Flowmeter.
    proxy: { "/api": { target: "http://127.0.0.1:3000", ws: true } },
  },
});
