/** Names of changefeeds (FEATURES 1.2): they stand in keys, in lock names and in the downstream's bookkeeping. */

const form = /^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$/;
const lengthMax = 128;

/** What is wrong with a name, in words; null when it may name a changefeed. */
export function changefeedIdProblem(id: string): string | null {
  if (form.test(id) && id.length <= lengthMax) return null;
  const shown = id.slice(0, lengthMax);
  return `changefeed id "${shown}": letters and digits, in parts joined by single dashes, at most ${lengthMax}`;
}
