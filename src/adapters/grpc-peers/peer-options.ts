/** Times and bounds of the links between captures. */
import type { ChannelOptions } from '@grpc/grpc-js';
import { peerFrameBytesMax, type PeerClass } from '../../ports/peers.ts';

/** Times of a link, milliseconds. */
export interface PeerTiming {
  /** A connection without a complete handshake ends after this. */
  readonly handshakeMs: number;
  /** A silent connection is asked for a sign of life every `keepaliveMs`, and ends when none comes within `keepaliveTimeoutMs`. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Pause before a new attempt: doubles from min to max, with jitter. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
}

/** How much one link may hold. */
export interface QueueBounds {
  readonly countMax: number;
  readonly bytesMax: number;
}

/** The usual times. */
export const defaultTiming: PeerTiming = {
  handshakeMs: 5_000,
  keepaliveMs: 3_000,
  keepaliveTimeoutMs: 3_000,
  backoffMsMin: 50,
  backoffMsMax: 2_000,
};

/** The usual bounds. A queue holds at least two of the largest frames. */
export const defaultBounds: Readonly<Record<PeerClass, QueueBounds>> = {
  control: { countMax: 16_384, bytesMax: 32 * 2 ** 20 },
  data: { countMax: 4_096, bytesMax: 64 * 2 ** 20 },
};

/** Both sides' limits: longest frame, keepalive, and none of the library's own retries or proxies. */
export function channelOptions(timing: PeerTiming): ChannelOptions {
  return {
    'grpc.max_receive_message_length': peerFrameBytesMax,
    'grpc.max_send_message_length': peerFrameBytesMax,
    'grpc.keepalive_time_ms': timing.keepaliveMs,
    'grpc.keepalive_timeout_ms': timing.keepaliveTimeoutMs,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    // Each link has a connection of its own: a flood of rows never stands in front of control.
    'grpc.use_local_subchannel_pool': 1,
    'grpc-node.flow_control_window': 2 ** 20,
  };
}
