/** One statement of a session, from its parsed form to its answer, with what an error takes back. */
import { runDelete, runInsert, runUpdate } from './change.ts';
import { runDefinition } from './define.ts';
import { evaluate } from './evaluate.ts';
import { Killed } from './killed.ts';
import { findWaits, rowlessScope, runSelect } from './read.ts';
import { SqlError, UnknownSql, byteText, isTrue } from './value.ts';

import type { Statement } from './ast.ts';
import type { Execution, Run } from './execution.ts';
import type { ResultRows } from './read.ts';
import type { Value } from './value.ts';

/** What a statement answers. */
export type StatementAnswer =
  | { readonly kind: 'done'; readonly affected: bigint }
  | ({ readonly kind: 'rows' } & ResultRows);

const done: StatementAnswer = { kind: 'done', affected: 0n };

/**
 * Runs one statement. An error takes the statement back; in autocommit, or as the victim of a deadlock, the whole
 * transaction (FENCE §1.6).
 */
export function* runStatement(x: Execution, statement: Statement): Run<StatementAnswer> {
  const { session } = x;
  const mark = session.transaction?.mark ?? 0;
  try {
    const answer = yield* dispatch(x, statement);
    if (!session.isExplicit) yield* x.commit();
    session.rowCount = answer.kind === 'done' ? answer.affected : -1n;
    return answer;
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    session.rowCount = -1n;
    if (!session.isExplicit || error.errno === 1213) x.rollback();
    else x.rollbackStatement(mark);
    throw error;
  }
}

function* dispatch(x: Execution, statement: Statement): Run<StatementAnswer> {
  switch (statement.kind) {
    case 'nothing':
      return done;
    case 'begin':
      yield* x.commit();
      x.session.isExplicit = true;
      return done;
    case 'commit':
      yield* x.commit();
      return done;
    case 'rollback':
      x.rollback();
      return done;
    case 'set':
      yield* runSet(x, statement);
      return done;
    case 'do': {
      const found = yield* findWaits(x, statement.values);
      for (const value of statement.values) evaluate(value, rowlessScope(x, found));
      return done;
    }
    case 'use':
      if (!x.server.catalog.hasSchema(statement.schema)) {
        throw new SqlError(1049, `Unknown database '${statement.schema}'`);
      }
      x.session.schema = statement.schema;
      return done;
    case 'kill':
      if (statement.id === x.session.id) throw new Killed();
      if (!x.server.kill(statement.id)) {
        throw new SqlError(1094, `Unknown thread id: ${statement.id}`);
      }
      return done;
    case 'select':
      return { kind: 'rows', ...(yield* runSelect(x, statement.select)) };
    case 'insert':
      return { kind: 'done', affected: yield* runInsert(x, statement) };
    case 'update':
      return { kind: 'done', affected: yield* runUpdate(x, statement) };
    case 'delete':
      return { kind: 'done', affected: yield* runDelete(x, statement) };
    case 'showVariables':
      return showVariables(x, statement);
    case 'showCreateTable': {
      const name = x.named(statement.table);
      const text = x.server.catalog.showTable(name);
      return {
        kind: 'rows',
        names: ['Table', 'Create Table'],
        rows: [[byteText(name.table), text]],
      };
    }
    case 'showCreateDatabase': {
      const text = x.server.catalog.showSchema(statement.schema);
      const rows = [[byteText(statement.schema), text]];
      return { kind: 'rows', names: ['Database', 'Create Database'], rows };
    }
    default:
      yield* runDefinition(x, statement);
      return done;
  }
}

function* runSet(x: Execution, statement: Extract<Statement, { kind: 'set' }>): Run<void> {
  const { session } = x;
  for (const { name, isUser, value } of statement.assignments) {
    if (value.kind === 'default') {
      session.variables.delete(name);
      continue;
    }
    const found = yield* findWaits(x, [value]);
    const result = evaluate(value, rowlessScope(x, found));
    if (isUser) session.userVariables.set(name, result);
    else {
      // Whatever else a session may be: this server has transactions by BEGIN only.
      if (name === 'autocommit' && !isTrue(result)) throw new UnknownSql('autocommit=0', '');
      session.variables.set(name, result);
    }
  }
}

function showVariables(
  x: Execution,
  statement: Extract<Statement, { kind: 'showVariables' }>,
): StatementAnswer {
  const rows = [...x.server.variables].filter(([name, value]) => {
    if (statement.where === null) return true;
    const column = (_: string | null, asked: string): Value =>
      asked.toLowerCase() === 'variable_name' ? name : value;
    return isTrue(
      evaluate(
        statement.where,
        x.scope(new Map(), column, () => []),
      ),
    );
  });
  return {
    kind: 'rows',
    names: ['Variable_name', 'Value'],
    rows: rows.map(([name, value]) => [name, value === null ? '' : String(value)]),
  };
}
