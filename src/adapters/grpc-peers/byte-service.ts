/** The one gRPC method between captures: a bidirectional stream of bytes. Nothing is generated from a schema. */
import type { ServiceDefinition } from '@grpc/grpc-js';

/** Path of the method; the version of what the bytes mean is in the handshake. */
export const streamPath = '/sluice.Peers/Stream';

/** Bytes as they are. */
export const passBytes = (bytes: Buffer): Buffer => bytes;

/** The service. */
export const byteService = {
  stream: {
    path: streamPath,
    requestStream: true,
    responseStream: true,
    requestSerialize: passBytes,
    requestDeserialize: passBytes,
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
  },
} satisfies ServiceDefinition;

/** The bytes as the library takes them, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
