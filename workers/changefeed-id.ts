import { fail } from '#src/base/failure.ts';
import { changefeedIdProblem } from '#src/model/changefeed-id.ts';

/** CONFIG_INVALID unless `id` may name a changefeed. */
export function demandChangefeedId(id: string): void {
  const problem = changefeedIdProblem(id);
  if (problem !== null) fail('CONFIG_INVALID', problem);
}
