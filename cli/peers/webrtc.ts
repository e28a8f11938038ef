/**
 * WebRTC under Node connects at once instead of after 10 s: webrtc-polyfill never says that all candidates are gathered
 * (the null candidate of the W3C API), so simple-peer, which puts them all in one message, sits out its 5 s timeout on
 * both sides. Here the polyfill says it.
 */
import { RTCPeerConnection } from "./bittorrent.ts";

/**
 * How long an answer waits, milliseconds. The answering side is connected (ICE) and sends its DTLS hello while its answer
 * is still on its way; libdatachannel 0.24.5 on the offering side drops a hello that comes before the answer (it is sent
 * again after 1 s), but fails the handshake when it comes while the answer is being taken in: the fingerprint is not
 * known yet. On one machine or LAN that is the rule: 7 of 14 connections failed without the pause, 1 of 12 with 25 ms,
 * none of 12 with 100 ms.
 */
const ANSWER_PAUSE_MS = 200;

let done = false;

/** Patches the polyfill's prototype, once a process. */
export function gatherWithoutWaiting(): void {
  if (done) return;
  done = true;
  beforehand("createOffer", 0);
  beforehand("createAnswer", ANSWER_PAUSE_MS);
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
