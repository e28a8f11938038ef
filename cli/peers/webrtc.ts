/**
 * WebRTC under Node connects in 0.2 s instead of 10: webrtc-polyfill never says that all candidates are gathered (the
 * null candidate of the W3C API), so simple-peer, which puts them all in one message, sits out its 5 s timeout on both
 * sides. Here the polyfill says it.
 */
import { RTCPeerConnection } from "./bittorrent.ts";

let done = false;

/** Patches the polyfill's prototype, once a process. */
export function gatherWithoutWaiting(): void {
  if (done) return;
  done = true;
  beforehand("createOffer");
  beforehand("createAnswer");
}

function beforehand(method: "createOffer" | "createAnswer"): void {
  const prototype = RTCPeerConnection.prototype;
  const original = prototype[method];
  prototype[method] = function create(this: RTCPeerConnection) {
    sayWhenGathered(this);
    return original.call(this);
  };
}

function sayWhenGathered(connection: RTCPeerConnection): void {
  connection.addEventListener("icegatheringstatechange", () => {
    if (connection.iceGatheringState === "complete") connection.onicecandidate?.({ candidate: null });
  });
}
