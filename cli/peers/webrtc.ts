/**
 * WebRTC under Node connects at once instead of after 10 s: webrtc-polyfill never says that all candidates are gathered
 * (the null candidate of the W3C API), so simple-peer, which puts them all in one message, sits out its 5 s timeout on
 * both sides. Here the polyfill says it.
 */
import { WEBRTC_ANSWER_PAUSE_MS } from "../../manifests/limits.ts";
import { RTCPeerConnection } from "./bittorrent.ts";

let done = false;

/** Patches the polyfill's prototype, once a process. */
export function gatherWithoutWaiting(): void {
  if (done) return;
  done = true;
  beforehand("createOffer", 0);
  beforehand("createAnswer", WEBRTC_ANSWER_PAUSE_MS);
}

function beforehand(method: "createOffer" | "createAnswer", pauseMs: number): void {
  const prototype = RTCPeerConnection.prototype;
  const original = prototype[method];
  prototype[method] = function create(this: RTCPeerConnection) {
    sayWhenGathered(this, pauseMs);
    return original.call(this);
  };
}

function sayWhenGathered(connection: RTCPeerConnection, pauseMs: number): void {
  connection.addEventListener("icegatheringstatechange", () => {
    if (connection.iceGatheringState !== "complete") return;
    setTimeout(() => connection.onicecandidate?.({ candidate: null }), pauseMs).unref();
  });
}
