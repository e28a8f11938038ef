/** A WebRTC session description (RFC 8866), of which one thing is read: whether it speaks of anything but data. */

/**
 * `sdp`: hostile. False when it has a media line other than one `m=application`. Sound and pictures are of no use here,
 * and an offer of them makes webrtc-polyfill 1.2.2 throw where nobody can catch it: the process is aborted.
 */
export function isForDataOnly(sdp: string): boolean {
  const media = sdp.split(/[\r\n]/).filter((line) => line.trimStart().startsWith("m="));
  return media.length <= 1 && media.every((line) => line.startsWith("m=application "));
}
