/** URL -> handler: the HTTP surface of DESIGN.md section 5, as a table. */
import { Hono } from "hono";
import { Failure } from "../manifests/failures.ts";
import { drainBody } from "./body.ts";
import { dashboard } from "./dashboard/dashboard.ts";
import type { Edge } from "./env.ts";
import { countRequests, metrics } from "./metrics.ts";
import { getMetadata } from "./origin/metadata.ts";
import { getObject } from "./origin/objects.ts";
import { getSeedFile } from "./origin/web-seed.ts";
import { explainProblem, problemFor } from "./respond.ts";
import { announceRoute, scrapeRoute } from "./swarm/routes.ts";
import { fresh, join, listDelta, postRole, publish, putSignedObject, register, stats } from "./title/requests.ts";

export const routes = new Hono<Edge>()
  .use(countRequests, drainBody)
  // players; hono answers HEAD with the GET handler
  .get("/t/:title/metadata/:file", getMetadata)
  .get("/t/:title/objects/:sha256", getObject)
  .get("/t/:title/seed/:seq/*", getSeedFile)
  .get("/t/:title/announce", announceRoute)
  .get("/t/:title/scrape", scrapeRoute)
  .post("/t/:title/fresh", fresh)
  .post("/t/:title/join", join)
  // publishers, signed
  .put("/t/:title/objects/:sha256", putSignedObject)
  .post("/t/:title/roles/:role", postRole)
  .post("/t/:title/publish", publish)
  .post("/t/:title/deltas", listDelta)
  // the operator, with the admin token
  .post("/t/:title", register)
  // people and their tools
  .get("/t/:title/stats", stats)
  .get("/metrics", metrics)
  .get("/healthz", (c) => c.json({ status: "ok" }, 200, { "cache-control": "no-store" }))
  .get("/problems/:code", (c) => explainProblem(c.req.param("code")))
  .get("/", dashboard)
  .notFound(({ req }) => problemFor(new Failure("request.not-found", { found: `${req.method} ${req.path}` })))
  .onError(problemFor);
