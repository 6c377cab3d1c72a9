import { fail, failed, failure, ok, type Outcome } from '../../base/failure.ts';
import type { CpuPort } from '../../ports/cpu.ts';
import type { Log } from '../../ports/log.ts';
import type { UpstreamAnswer, UpstreamPort, UpstreamRequest } from '../../ports/upstream.ts';
import { Dump } from './dump.ts';
import { failureOfError } from './source-failure.ts';
import { checkUpstream } from './upstream-check.ts';
import { parseUpstreamUri } from './upstream-uri.ts';

/** How to reach an upstream. */
export interface MysqlUpstreamOptions {
  /**
   * `mysql://user:password@host:port/?…` with `socket`, `server-id`, `heartbeat-ms`, `timeout-ms`, `ssl-mode`, `ssl-ca`,
   * `ssl-cert`, `ssl-key`.
   */
  readonly uri: string;
  readonly log: Log;
  /** For what may take a while; closed with the upstream. */
  readonly cpu: CpuPort;
}

/**
 * The upstream port on a MariaDB (10.5 and newer) or MySQL (8.0 and newer) server's binary log. One dump at a time; `Open`
 * replaces it. CONFIG_INVALID at once, by throwing, when the URI is wrong.
 */
export function openMysqlUpstream(options: MysqlUpstreamOptions): UpstreamPort {
  const uri = parseUpstreamUri(options.uri);
  const { log, cpu } = options;
  let dump: Dump | undefined;
  let closed = false;
  const closeDump = (): void => {
    dump?.close();
    dump = undefined;
  };

  const answer = async (request: UpstreamRequest): Promise<UpstreamAnswer> => {
    switch (request.kind) {
      case 'Check':
        return checkUpstream(uri, request.startAt, log);
      case 'Open': {
        closeDump();
        const opened = await Dump.open(uri, request, { log, cpu });
        if (closed) opened.close();
        else dump = opened;
        return { kind: 'Opened' };
      }
      case 'Next':
        return openDump(dump).next(request.byteCountMax);
      case 'Route':
        openDump(dump).route(request.routing);
        return { kind: 'Routed' };
      case 'Close':
        closeDump();
        return { kind: 'Closed' };
    }
  };

  return {
    async call(request): Promise<Outcome<UpstreamAnswer>> {
      if (closed) return failed(failure('INTERNAL_STOPPED', 'the upstream is closed'));
      try {
        return ok(await answer(request));
      } catch (error) {
        return failed(failureOfError(error, true));
      }
    },
    async close() {
      closed = true;
      closeDump();
      await cpu.close();
    },
  };
}

function openDump(dump: Dump | undefined): Dump {
  if (dump !== undefined) return dump;
  return fail('SOURCE_DISCONNECTED', 'no stream is open', { retry: 'Reconnect' });
}
