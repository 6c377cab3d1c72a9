/** What a session writes and watches: its own two keys (DESIGN §17). */
import { type CaptureInfo, printCaptureInfo } from '#src/model/capture-info.ts';
import { captureKey, captureRecordKey } from '#src/model/coordination-key.ts';
import type { CoordinationRequest, SessionProof } from '#src/ports/coordination.ts';
import { absent } from '#src/ports/ownership.ts';

const watchMs = 10_000;

/** What the session is started with. */
export interface SessionProps {
  readonly clusterId: string;
  /** Fresh: no capture has ever had it. */
  readonly captureId: string;
  readonly ttlMs: number;
  readonly apiAddress: string;
  readonly peerAddress: string;
  readonly version: string;
}

/** Makes both keys, or neither when one of them is there. */
export function registration(props: SessionProps, proof: SessionProof): CoordinationRequest {
  const { clusterId, captureId } = props;
  const [key, record] = [captureKey(clusterId, captureId), captureRecordKey(clusterId, captureId)];
  const value = printCaptureInfo(infoOf(props, proof, false));
  return {
    kind: 'Transact',
    compares: [absent(key), absent(record)],
    puts: [
      { key, value, lease: proof.lease },
      { key: record, value },
    ],
  };
}

/** Says that this node has stopped writing; refused when the key is not ours any more. */
export function farewell(props: SessionProps, proof: SessionProof): CoordinationRequest {
  const { clusterId, captureId } = props;
  const key = captureKey(clusterId, captureId);
  const { lease } = proof;
  return {
    kind: 'Transact',
    compares: [{ key, target: 'lease', equals: lease }],
    puts: [{ key, value: printCaptureInfo(infoOf(props, proof, true)), lease }],
    deletes: [captureRecordKey(clusterId, captureId)],
  };
}

function infoOf(props: SessionProps, proof: SessionProof, isWriteStopped: boolean): CaptureInfo {
  const { apiAddress, peerAddress, version } = props;
  const ttlMs = Number.isFinite(proof.ttlMs) ? proof.ttlMs : null;
  return { apiAddress, peerAddress, version, ttlMs, isWriteStopped };
}

/** What happens to the own key after `after`; other keys may begin alike. */
export function ownWatch(props: SessionProps, after: number): CoordinationRequest {
  const prefix = captureKey(props.clusterId, props.captureId);
  return { kind: 'NextEvents', prefix, after, waitMs: watchMs };
}
