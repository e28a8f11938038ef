/**
 * What webrtc-polyfill 1.2.2 leaves open.
 *
 * Connecting under Node takes no 10 s: the polyfill never says that all candidates are gathered (the null candidate of
 * the W3C API), so simple-peer, which puts them all in one message, sits out its 5 s timeout on both sides. Here it is
 * said.
 *
 * A peer that offers sound or pictures ends nobody: see isForDataOnly.
 */
import { WEBRTC_ANSWER_PAUSE_MS } from "../../manifests/limits.ts";
import { isForDataOnly } from "../../manifests/wire/description.ts";
import { RTCPeerConnection } from "./bittorrent.ts";

let done = false;

/** Patches the polyfill's prototype, once a process. */
export function mendWebRtc(): void {
  if (done) return;
  done = true;
  beforehand("createOffer", 0);
  beforehand("createAnswer", WEBRTC_ANSWER_PAUSE_MS);
  refuseMedia();
}

function refuseMedia(): void {
  const prototype = RTCPeerConnection.prototype;
  const original = prototype.setRemoteDescription;
  prototype.setRemoteDescription = async function take(this: RTCPeerConnection, description) {
    // hostile input: whatever the JSON of a tracker's message had in this place
    if (typeof description.sdp !== "string" || !isForDataOnly(description.sdp)) {
      throw new Error("a description of something other than data");
    }
    await original.call(this, description);
  };
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
