/** The one door to webtorrent and the WebRTC below it, typed by webtorrent.d.ts wherever this file is compiled. */
// oxlint-disable-next-line typescript/triple-slash-reference -- ambient modules cannot be imported by path
/// <reference path="./webtorrent.d.ts" />
export { RTCPeerConnection } from "webrtc-polyfill";
export {
  type ChunkStore,
  type Connection,
  default as WebTorrent,
  type IceServer,
  type ParsedTorrent,
  type Peer,
  type Torrent,
  type Wire,
} from "webtorrent";
export { default as PeerClass } from "webtorrent/lib/peer.js";
