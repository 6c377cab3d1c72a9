/** What a statement runs with: its session, the server's state, and ways to wait. */
import { LockManager } from './locks.ts';
import { Transaction } from './transaction.ts';
import { SqlError, UnknownSql, compare, toInteger } from './value.ts';

import type { Expression, Select, TableRef } from './ast.ts';
import type { Catalog } from './catalog.ts';
import type { Scope } from './evaluate.ts';
import type { LockMode, LockOwner, LockRequest } from './locks.ts';
import type { Table } from './table.ts';
import type { RowChange } from './transaction.ts';
import type { Row, Value } from './value.ts';

/** Why a statement does not go on at once. */
export type Wait =
  | {
      readonly kind: 'lock';
      readonly manager: LockManager;
      readonly request: LockRequest;
      readonly timeoutMs: number;
    }
  /** Work that takes time. A commit that has begun cannot be killed any more. */
  | { readonly kind: 'pause'; readonly ms: number; readonly isCommit: boolean };

/** A piece of work that may wait; a wait that fails throws where it was. */
export type Run<T> = Generator<Wait, T, void>;

/** A committed transaction, or a statement on definitions, in the order of commits: the server's binary log. */
export type Logged =
  | {
      readonly kind: 'transaction';
      readonly session: number;
      readonly atMs: number;
      readonly changes: readonly RowChange[];
    }
  | {
      readonly kind: 'definition';
      readonly session: number;
      readonly atMs: number;
      readonly sql: string;
    };

/** What all sessions share. */
export interface ServerState {
  readonly catalog: Catalog;
  readonly rowLocks: LockManager;
  /** Locks on definitions (`t/schema/table`) and by name (`n/name`). */
  readonly otherLocks: LockManager;
  readonly variables: Map<string, Value>;
  isReadOnly: boolean;
  readonly now: () => number;
  /** Milliseconds of one of the server's seconds. */
  readonly secondMs: () => number;
  /** Milliseconds that the next commit, and the next statement on definitions, take. */
  readonly commitMs: () => number;
  readonly definitionMs: () => number;
  readonly append: (logged: Logged) => void;
  /** From here on a real server's locks depend on whether it has purged the record of a deleted row. */
  readonly depends: () => void;
  /** Ends a session; false when there is none. */
  readonly kill: (id: number) => boolean;
}

const definitionWeight = 100;

/** One client's session. As an owner of locks it weighs what its statement is: definitions outlive changes. */
export class Session implements LockOwner {
  readonly id: number;
  readonly variables = new Map<string, Value>();
  readonly userVariables = new Map<string, Value>();
  /** Named locks with how often each was taken. */
  readonly named = new Map<string, number>();
  schema: string | null = null;
  rowCount = 0n;
  transaction: Transaction | null = null;
  /** Whether BEGIN was said. */
  isExplicit = false;
  weight = 0;
  /** Waits for locks so far: a reader that lists records sees by it when the list is old. */
  waitCount = 0;

  constructor(id: number) {
    this.id = id;
  }
}

/** One session at work. */
export class Execution {
  readonly server: ServerState;
  readonly session: Session;

  constructor(server: ServerState, session: Session) {
    this.server = server;
    this.session = session;
  }

  /** The open transaction, begun when there is none. */
  get transaction(): Transaction {
    this.session.transaction ??= new Transaction(this.session.id);
    return this.session.transaction;
  }

  /** A variable of the session, else the server's. */
  variable(name: string): Value {
    const found = this.session.variables.get(name) ?? this.server.variables.get(name);
    if (found === undefined) throw new UnknownSql('the variable', name);
    return found;
  }

  /** A variable in seconds, as milliseconds. */
  #seconds(name: string): number {
    return Number(toInteger(this.variable(name)!)) * this.server.secondMs();
  }

  /** Locks a record. */
  *lockRow(table: Table, key: string, mode: LockMode): Run<void> {
    const timeoutMs = this.#seconds('innodb_lock_wait_timeout');
    const places = this.transaction.lockPlaces;
    places.add(`${table.id}`);
    places.add(`${key.split('/', 2).join('/')}/${mode}`);
    const { rowLocks } = this.server;
    if (rowLocks.isBlocked(this.transaction, key, mode)) this.session.waitCount++;
    yield* takeLock(rowLocks, this.transaction, { key, mode, timeoutMs });
  }

  /** Holds a definition until the transaction ends. */
  *lockDefinition(name: Required<TableRef>, mode: LockMode): Run<void> {
    this.session.weight = mode === 'X' ? definitionWeight : 0;
    const timeoutMs = this.#seconds('lock_wait_timeout');
    const key = `t/${name.schema}/${name.table}`;
    yield* takeLock(this.server.otherLocks, this.session, { key, mode, timeoutMs });
  }

  /** Gives a definition up before the transaction ends. */
  unlockDefinition(name: Required<TableRef>): void {
    this.server.otherLocks.release(this.session, `t/${name.schema}/${name.table}`);
  }

  /** The full name of a table; 1046 when there is no default. */
  named(ref: TableRef): { readonly schema: string; readonly table: string } {
    const schema = ref.schema ?? this.session.schema;
    if (schema === null) throw new SqlError(1046, 'No database selected');
    return { schema, table: ref.table };
  }

  /** A table to read or change; 1146 when it does not exist. */
  *open(ref: TableRef): Run<Table> {
    const name = this.named(ref);
    yield* this.lockDefinition(name, 'S');
    const table = this.server.catalog.table(name);
    if (table === null) {
      throw new SqlError(1146, `Table '${name.schema}.${name.table}' doesn't exist`);
    }
    return table;
  }

  /** Refuses changes on a server that is only read. */
  demandWritable(): void {
    if (!this.server.isReadOnly) return;
    const says = 'The MariaDB server is running with the --read-only option';
    throw new SqlError(1290, `${says} so it cannot execute this statement`);
  }

  /** What an expression may refer to. */
  scope(
    found: ReadonlyMap<Expression, Value>,
    column: Scope['column'],
    query: (select: Select) => readonly Row[],
  ): Scope {
    return {
      column,
      user: (name) => this.session.userVariables.get(name) ?? null,
      system: (name) =>
        name === 'in_transaction' ? BigInt(this.session.isExplicit) : this.variable(name),
      call: (name, args) => this.#call(name, args),
      query,
      found,
    };
  }

  #call(name: string, args: readonly Value[]): Value | undefined {
    const { otherLocks } = this.server;
    const holder = (): Session | null =>
      otherLocks.holderOf(`n/${String(args[0]).toLowerCase()}`) as Session | null;
    switch (name) {
      case 'ROW_COUNT':
        return this.session.rowCount;
      case 'CONNECTION_ID':
        return BigInt(this.session.id);
      case 'VERSION':
        return this.variable('version');
      case 'IS_USED_LOCK': {
        const found = holder();
        return found === null ? null : BigInt(found.id);
      }
      case 'IS_FREE_LOCK':
        return BigInt(holder() === null);
      case 'RELEASE_LOCK':
        return this.#releaseNamed(String(args[0]).toLowerCase(), holder());
      default:
        return undefined;
    }
  }

  #releaseNamed(name: string, holder: Session | null): Value {
    if (holder !== this.session) return holder === null ? null : 0n;
    const count = this.session.named.get(name) ?? 1;
    if (count > 1) this.session.named.set(name, count - 1);
    else {
      this.session.named.delete(name);
      this.server.otherLocks.release(this.session, `n/${name}`);
    }
    return 1n;
  }

  /** GET_LOCK: 1 when taken, 0 when not in time. */
  *takeNamed(name: Value, seconds: Value): Run<Value> {
    if (name === null || compare(name, '') === 0) throw new UnknownSql('a lock without a name', '');
    const lower = String(name).toLowerCase();
    this.session.weight = definitionWeight / 2;
    const timeoutMs = Number(toInteger(seconds ?? 0n)) * this.server.secondMs();
    try {
      const { otherLocks } = this.server;
      yield* takeLock(otherLocks, this.session, { key: `n/${lower}`, mode: 'X', timeoutMs });
    } catch (error) {
      if (error instanceof SqlError && error.errno === 1205) return 0n;
      throw error;
    }
    this.session.named.set(lower, (this.session.named.get(lower) ?? 0) + 1);
    return 1n;
  }

  /** Commits what is open, if anything. */
  *commit(): Run<void> {
    const { server, session } = this;
    const { transaction } = session;
    if (transaction !== null && transaction.mark > 0) {
      if (server.isReadOnly) {
        this.rollback();
        this.demandWritable();
      }
      const ms = server.commitMs();
      if (ms > 0) yield { kind: 'pause', ms, isCommit: true };
      this.finishCommit();
    }
    this.#end();
  }

  /** The moment of commit. */
  finishCommit(): void {
    const changes = this.session.transaction?.commit() ?? [];
    if (changes.length === 0) return;
    const atMs = this.server.now();
    this.server.append({ kind: 'transaction', session: this.session.id, atMs, changes });
  }

  /** Takes back what is open. */
  rollback(): void {
    this.session.transaction?.rollbackTo(0);
    this.#end();
  }

  /** Takes back one statement. Locks stay, except on records that are gone with it. */
  rollbackStatement(mark: number): void {
    const { transaction } = this.session;
    if (transaction === null) return;
    for (const { table, cell } of transaction.rollbackTo(mark)) {
      this.server.rowLocks.release(transaction, `${table.id}/0/${cell.key}`);
      if (table.ghosts.has(cell.key)) this.server.depends();
    }
  }

  #end(): void {
    const { server, session } = this;
    const { transaction } = session;
    session.transaction = null;
    session.isExplicit = false;
    if (transaction !== null) server.rowLocks.releaseAll(transaction);
    server.otherLocks.releaseAll(session, (key) => key.startsWith('t/'));
  }
}

/** Takes a lock, waiting for it at most `timeoutMs`: 1205 when that is over, 1213 in a deadlock. */
function* takeLock(
  manager: LockManager,
  owner: LockOwner,
  asked: { readonly key: string; readonly mode: LockMode; readonly timeoutMs: number },
): Run<void> {
  const { key, mode, timeoutMs } = asked;
  if (timeoutMs === 0 && manager.isBlocked(owner, key, mode)) throw lockTimeout();
  const answer = manager.ask(owner, key, mode);
  if (answer === 'granted') return;
  if (answer === 'deadlock') throw deadlock();
  yield { kind: 'lock', manager, request: answer, timeoutMs };
}

/** Error 1205. */
export function lockTimeout(): SqlError {
  return new SqlError(1205, 'Lock wait timeout exceeded; try restarting transaction');
}

/** Error 1213. */
export function deadlock(): SqlError {
  return new SqlError(1213, 'Deadlock found when trying to get lock; try restarting transaction');
}
