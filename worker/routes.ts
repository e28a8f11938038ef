/** URL -> handler: the HTTP surface that docs/ARCHITECTURE.md lists, as a table. */
import { Hono } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import { Failure } from "../manifests/failures.ts";
import { drainBody } from "./body.ts";
import { answerOtherMethod, pagesMayCall, pagesMayRead } from "./methods.ts";
import { dashboard } from "./dashboard/dashboard.ts";
import type { Edge } from "./env.ts";
import { countRequests, metrics } from "./metrics.ts";
import { getMetadata } from "./origin/metadata.ts";
import { getObject } from "./origin/objects.ts";
import { getSeedFile } from "./origin/web-seed.ts";
import { explainProblem, problemFor } from "./respond.ts";
import { announceRoute, scrapeRoute } from "./swarm/routes.ts";
import { fresh, join, listDelta, postRole, publish, putSignedObject, register, stats } from "./title/requests.ts";

const app = new Hono<Edge>();

/** What pages of any other site may read and call: what anyone may without a signature or a token. */
const PAGES_READ = [
  "/t/:title/metadata/:file",
  "/t/:title/objects/:sha256",
  "/t/:title/seed/:seq/*",
  "/t/:title/scrape",
  "/t/:title/stats",
  "/healthz",
  "/problems/:code",
];
const PAGES_CALL = ["/t/:title/fresh", "/t/:title/join"];

export const routes = app
  .use(countRequests, drainBody, methodNotAllowed({ app, onMethodNotAllowed: answerOtherMethod }))
  .on("ALL", PAGES_READ, pagesMayRead)
  .on("ALL", PAGES_CALL, pagesMayCall)
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
