/** The worker under test: what `env` and `exports` of cloudflare:workers are. */
declare namespace Cloudflare {
  interface Env extends Readonly<import("../../worker/env.ts").Env> {}
  interface GlobalProps {
    mainModule: typeof import("../../worker/index.ts");
    durableNamespaces: "SwarmObject" | "TitleObject";
  }
}
