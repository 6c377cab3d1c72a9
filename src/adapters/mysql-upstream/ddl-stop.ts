import { fail } from '../../base/failure.ts';
import type { DdlStatement } from '../../model/ddl-statement.ts';
import type { DdlEvent } from '../../model/position.ts';
import type { TableFilter } from '../../model/table-filter.ts';
import type { QueryEvent } from '../binlog/stream/query-event.ts';
import { filterDdl } from './ddl-filter.ts';
import type { OpenGroup } from './open-group.ts';
import { sessionOf } from './statement-text.ts';

/** A DDL before which the stream stands; `rowsFollow`: rows of the same commitTs come after it. */
export interface DdlStop {
  readonly ddl: DdlEvent;
  readonly rowsFollow: boolean;
}

/** A DDL statement with the event that holds it. */
export interface LoggedDdl {
  readonly statement: DdlStatement;
  readonly query: QueryEvent;
  readonly text: string;
}

/** The stop that a DDL in `group` makes, or undefined when none of its tables is replicated. */
export function ddlStop(
  group: OpenGroup,
  said: LoggedDdl,
  how: { readonly filter: TableFilter; readonly explicitDefaultsInOptions: boolean },
): DdlStop | undefined {
  const { statement, query, text } = said;
  const cut = statement.startTransactionAt;
  const sql = filterDdl(statement, cut >= 0 ? text.slice(0, cut).trimEnd() : text, how.filter);
  if (sql === undefined) return undefined;
  if (group.rowsCount > 0) {
    fail('SOURCE_UNSUPPORTED', 'a DDL statement behind rows of the same transaction');
  }
  const { ts, gtid, commitMs } = group.start;
  const session = sessionOf(query, how.explicitDefaultsInOptions);
  return {
    ddl: { ts, gtid, commitMs, schema: query.schema, sql, ...session },
    rowsFollow: group.explicit,
  };
}
