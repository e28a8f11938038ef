/** The public door of the edge: routes in, Durable Object classes out. */
import { routes } from "./routes.ts";

export { SwarmObject } from "./swarm/swarm-object.ts";
export { TitleObject } from "./title/title-object.ts";

export default routes satisfies ExportedHandler<import("./env.ts").Env>;
