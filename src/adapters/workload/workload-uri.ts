import { fail } from '#src/base/failure.ts';

/** The kinds of generated workloads. */
export const workloadKinds = ['bank', 'insert', 'hot'] as const;

/** A kind of {@link workloadKinds}. */
export type WorkloadKind = (typeof workloadKinds)[number];

/** What a `workload://` URI says. */
export interface WorkloadSettings {
  readonly kind: WorkloadKind;
  /** Same seed, same history. */
  readonly seed: number;
  /** bank: accounts in all tables. */
  readonly accounts: number;
  /** bank, insert: tables the rows are spread over. */
  readonly tables: number;
  /** insert: rows per transaction; hot: rows of the table. */
  readonly rows: number;
  /** Transactions per second after the tables are filled; 0: as fast as they are pulled. */
  readonly rate: number;
  /** Transactions after the tables are filled; 0: without end. */
  readonly transactions: number;
}

/** Parameter → its bounds and, by kind where kinds differ, its default. */
const parameters = {
  seed: { min: 0, max: 2 ** 32 - 1, bank: 1, insert: 1, hot: 1 },
  accounts: { min: 2, max: 10_000_000, bank: 1000, insert: 2, hot: 2 },
  tables: { min: 1, max: 1000, bank: 4, insert: 1, hot: 1 },
  rows: { min: 1, max: 10_000_000, bank: 1, insert: 10, hot: 8 },
  rate: { min: 0, max: 1_000_000, bank: 0, insert: 0, hot: 0 },
  transactions: { min: 0, max: 2 ** 50, bank: 0, insert: 0, hot: 0 },
} as const;

/** Reads `workload://bank?seed=1&accounts=1000&rate=500`; CONFIG_INVALID lists every problem at once. */
export function parseWorkloadUri(uri: string): WorkloadSettings {
  const match = /^workload:\/\/([^/?]*)\/?(?:\?(.*))?$/.exec(uri);
  if (match === null)
    return fail('CONFIG_INVALID', 'the upstream is not workload://KIND?key=value');
  const problems: string[] = [];
  const kind = workloadKinds.find((one) => one === match[1]);
  if (kind === undefined) problems.push(`kind is none of ${workloadKinds.join(', ')}`);
  const given = new URLSearchParams(match[2] ?? '');
  for (const key of given.keys()) {
    if (!Object.hasOwn(parameters, key)) problems.push(`${key}: no such parameter`);
  }
  const read = (key: keyof typeof parameters): number => {
    const { min, max } = parameters[key];
    const text = given.get(key);
    if (text === null) return parameters[key][kind ?? 'bank'];
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) problems.push(`${key}: an integer from ${min} to ${max}`);
    return value;
  };
  const settings = {
    kind: kind ?? 'bank',
    seed: read('seed'),
    accounts: read('accounts'),
    tables: read('tables'),
    rows: read('rows'),
    rate: read('rate'),
    transactions: read('transactions'),
  };
  if (problems.length > 0) fail('CONFIG_INVALID', `workload URI: ${problems.join('; ')}`);
  return settings;
}
