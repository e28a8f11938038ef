/** What a worker thread can do: one exported function a job, each in a file of its own under jobs/. */
export { ping } from "./jobs/ping.ts";
