/** Names of changefeeds (FEATURES 1.2): they stand in keys, in lock names and in the downstream's bookkeeping. */
import { fail } from '#src/base/failure.ts';

const form = /^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$/;
const lengthMax = 128;

/** CONFIG_INVALID unless `id` may name a changefeed. */
export function demandChangefeedId(id: string): void {
  if (form.test(id) && id.length <= lengthMax) return;
  fail(
    'CONFIG_INVALID',
    `changefeed id "${id.slice(0, lengthMax)}": letters and digits, in parts joined by single dashes, at most ${lengthMax}`,
  );
}
