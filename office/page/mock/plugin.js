// `npm run dev`: the page with the mock behind it. Open /#t=office and /#t=phone side by side.
import { makeProgram } from "./program.js";

/** @returns {import("vite").Plugin} */
export function mockProgram() {
  return {
    name: "mock-program",
    configureServer(server) {
      server.middlewares.use(makeProgram());
      server.httpServer?.once("listening", () => server.config.logger.info("  Open /#t=office and /#t=phone"));
    },
  };
}
