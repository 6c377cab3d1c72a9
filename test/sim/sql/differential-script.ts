/** Random statements for the differential test: few keys, so that sessions get into each other's way. */
import { metaTables } from '#src/adapters/mysql-sink/meta-schema.ts';
import { guardStatements, tokenCheck } from '#src/adapters/mysql-sink/slot.ts';

import type { TestRandom } from '../../fixtures/random.ts';

/** Rows that each table begins with: enough that servers use the index. */
const rowCount = 120;

/** The statements that make the tables of a script in the default database. */
export function tablesSql(schema: string): string {
  const rows = Array.from({ length: rowCount }, (_, k) => k);
  const meta = `\`${schema}\`.slot`;
  return [
    `CREATE DATABASE \`${schema}\``,
    `USE \`${schema}\``,
    'CREATE TABLE t (k INT NOT NULL,v INT NOT NULL,n VARBINARY(20),PRIMARY KEY(k))',
    `INSERT INTO t (k,v) VALUES ${rows.map((k) => `(${k * 10},${k})`).join(',')}`,
    'CREATE TABLE u (k INT NOT NULL,w INT,s VARCHAR(10) NOT NULL,PRIMARY KEY(k),UNIQUE KEY w(w),UNIQUE KEY s(s))',
    `INSERT INTO u (k,w,s) VALUES ${rows.map((k) => `(${k * 10},${k * 10},'s${k}')`).join(',')}`,
    'CREATE TABLE x (k INT NOT NULL PRIMARY KEY,v INT NOT NULL)',
    'INSERT INTO x (k,v) VALUES (1,1),(2,2)',
    `CREATE TABLE ${meta} (cf VARBINARY(128) NOT NULL,slot INT UNSIGNED NOT NULL,token BIGINT UNSIGNED NOT NULL,guard BIGINT UNSIGNED NOT NULL,seq BIGINT UNSIGNED NOT NULL,pos MEDIUMBLOB NOT NULL,span VARBINARY(1024) NOT NULL,lane SMALLINT UNSIGNED NOT NULL,owner VARBINARY(128) NOT NULL,PRIMARY KEY(cf,slot),UNIQUE KEY lanes(cf,span,lane),CONSTRAINT stale_writer CHECK (guard=token)) ENGINE=InnoDB`,
    `INSERT INTO ${meta} (cf,slot,token,guard,seq,pos,span,lane,owner) VALUES ${[1, 2, 3, 4].map((slot) => `('f',${slot},5,5,0,'','s${slot % 2}',${slot >> 1},'o')`).join(',')}`,
  ].join(';');
}

/** The tables to compare at the end, each by its key. */
export const finalQueries = [
  'SELECT k,v,n FROM t ORDER BY k',
  'SELECT k,w,s FROM u ORDER BY k',
  'SELECT cf,slot,token,guard,seq,pos,span,lane,owner FROM slot ORDER BY slot',
  'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA=',
] as const;

/** What the script knows of a session when it draws its next statement. */
export interface Turn {
  readonly schema: string;
  /** Whether a transaction is open. */
  readonly isOpen: boolean;
  /** Whether no other session has one, or waits. */
  readonly isAlone: boolean;
  /** Seqs and tokens that the script believes in, by slot. */
  readonly slots: Map<number, { token: number; seq: number }>;
}

/** The next command of a session. */
export function nextCommand(dice: TestRandom, turn: Turn): string {
  const roll = dice.below(100);
  if (roll < 12) return turn.isOpen ? 'COMMIT' : 'BEGIN';
  if (roll < 18) return dice.pick(['COMMIT', 'ROLLBACK', 'BEGIN']);
  if (roll < 38) return change(dice);
  if (roll < 46) return read(dice);
  if (roll < 62) return packet(dice, turn);
  if (roll < 70) return impatient(dice);
  if (roll < 80) return named(dice);
  if (roll < 85) return turn.isAlone ? unique(dice) : change(dice);
  if (roll < 92) return definition(dice);
  return several(dice);
}

function key(dice: TestRandom): number {
  return dice.chance(80) ? dice.below(6) * 10 : dice.below(60);
}

function change(dice: TestRandom): string {
  const k = key(dice);
  const other = key(dice);
  const v = dice.below(1000);
  switch (dice.below(11)) {
    case 0:
    case 1:
      return `UPDATE t SET v=v+1 WHERE k=${k}`;
    case 2:
      return `UPDATE t SET v=${v},n='a''b' WHERE k IN (${k},${other})`;
    case 3:
      return `DELETE FROM t WHERE k=${k}`;
    case 4:
      return `DELETE FROM t WHERE k IN (${k},${other})`;
    case 5:
      return `INSERT INTO t (k,v,n) VALUES (${k},${v},NULL)`;
    case 6:
      return `INSERT INTO t (k,v) VALUES (${k},${v}),(${other},${v + 1})`;
    case 7:
      return `REPLACE INTO t (k,v,n) VALUES (${k},${v},x'00ff')`;
    case 8:
      return `INSERT INTO t (k,v) VALUES (${k},${v}),(${other},${v}) ON DUPLICATE KEY UPDATE v=VALUES(v)`;
    case 9:
      return `UPDATE t SET k=${other} WHERE k=${k}`;
    default:
      return `UPDATE t SET v=${v} WHERE k=${k} AND v>500`;
  }
}

function read(dice: TestRandom): string {
  const k = key(dice);
  const lock = dice.pick([' FOR UPDATE', ' LOCK IN SHARE MODE', '', '']);
  const where = dice.pick([`k=${k}`, `k IN (${k},${key(dice)})`]);
  return `SELECT k,v,n FROM t WHERE ${where} ORDER BY k${lock}`;
}

/** The sink's own: guard, changes, commit in one command; a raise; a check of the token; a read back. */
function packet(dice: TestRandom, turn: Turn): string {
  const tables = metaTables(turn.schema);
  const slot = 1 + dice.below(4);
  const known = turn.slots.get(slot)!;
  const wrong = dice.chance(25);
  const token = known.token + (wrong ? dice.below(3) - 1 : 0);
  const roll = dice.below(10);
  if (roll < 6) {
    const previousSeq = known.seq + (dice.chance(15) ? 1 : 0);
    const guard = guardStatements(
      tables,
      { changefeed: 'f', slot },
      { token, previousSeq, pos: `p${slot}` },
    );
    const changes = Array.from({ length: 1 + dice.below(3) }, () => change(dice));
    return [...guard.map(text), ...changes, ...(dice.chance(80) ? ['COMMIT'] : [])].join(';');
  }
  const where = `cf='f' AND span='s${slot % 2}'`;
  if (roll < 7) {
    return `BEGIN;SELECT slot,lane,token,seq,pos,owner FROM ${tables.slot} FORCE INDEX(lanes) WHERE ${where} ORDER BY lane FOR UPDATE;SELECT COALESCE(MAX(slot),0) AS top FROM ${tables.slot} WHERE cf='f'`;
  }
  if (roll < 8) {
    const owner = dice.below(100);
    return `UPDATE ${tables.slot} SET token=${token + 1},guard=${token + 1},owner='o${owner}' WHERE cf='f' AND slot IN (${slot});COMMIT`;
  }
  if (roll < 9) {
    const check = text(tokenCheck(tables, { changefeed: 'f', slot }, token));
    return `BEGIN;${check};${change(dice)};COMMIT`;
  }
  return `BEGIN;SELECT slot,token,seq,pos FROM ${tables.slot} WHERE cf='f' AND slot=${slot} FOR UPDATE;ROLLBACK`;
}

function text(statement: Uint8Array): string {
  return Buffer.from(statement).toString('latin1');
}

/** A statement that waits for nothing: 1205 at once when it would, and what stands behind it is tried all the same or not. */
function impatient(dice: TestRandom): string {
  const patience = 'SET SESSION innodb_lock_wait_timeout=1000,lock_wait_timeout=1000';
  const once = `SET SESSION innodb_lock_wait_timeout=0,lock_wait_timeout=0;${dice.chance(80) ? change(dice) : read(dice)}`;
  return dice.chance(50) ? `${once};${patience}` : `${patience};${once}`;
}

function named(dice: TestRandom): string {
  const name = dice.pick(["'a'", "'b'"]);
  switch (dice.below(6)) {
    case 0:
      return `SELECT GET_LOCK(${name},0) AS taken`;
    case 1:
      return `SELECT GET_LOCK(${name},500) AS taken`;
    case 2:
    case 3:
      return `SELECT RELEASE_LOCK(${name}) AS released`;
    case 4:
      return `SELECT IS_FREE_LOCK(${name}) AS free,IS_USED_LOCK(${name})=CONNECTION_ID() AS mine`;
    default:
      return `DO RELEASE_LOCK(${name})`;
  }
}

/** Secondary unique keys lock gaps, which the simulated server does not have: these statements run alone. */
function unique(dice: TestRandom): string {
  const k = key(dice);
  const w = dice.chance(20) ? 'NULL' : String(key(dice));
  const s = `'S${dice.below(12)}'`;
  switch (dice.below(7)) {
    case 0:
      return `INSERT INTO u (k,w,s) VALUES (${k},${w},${s})`;
    case 1:
      return `REPLACE INTO u (k,w,s) VALUES (${k},${w},${s})`;
    case 2:
      return `UPDATE u SET w=${w} WHERE k=${k}`;
    case 3:
      return `UPDATE u SET s=${s} WHERE w=${key(dice)}`;
    case 4:
      return `INSERT INTO u (k,w,s) VALUES (${k},${w},${s}) ON DUPLICATE KEY UPDATE k=IF(k=VALUES(k),k,NULL),w=VALUES(w)`;
    case 5:
      return `DELETE FROM u WHERE s=${s}`;
    default:
      return `SELECT k,w,s FROM u WHERE w=${key(dice)} FOR UPDATE`;
  }
}

function definition(dice: TestRandom): string {
  switch (dice.below(9)) {
    case 0:
      return `ALTER TABLE x ADD COLUMN c${dice.below(3)} INT`;
    case 1:
      return `ALTER TABLE x DROP COLUMN c${dice.below(3)}`;
    case 2:
      return 'TRUNCATE TABLE x';
    case 3:
      return 'CREATE TABLE y (k INT NOT NULL PRIMARY KEY)';
    case 4:
      return `DROP TABLE ${dice.pick(['', 'IF EXISTS '])}y`;
    case 5:
      return dice.pick([
        'RENAME TABLE y TO z',
        'RENAME TABLE z TO y',
        'RENAME TABLE x TO q,q TO x',
      ]);
    case 6:
      return 'CREATE TABLE IF NOT EXISTS z (k INT NOT NULL PRIMARY KEY,v INT NOT NULL)';
    default:
      return dice
        .pick([
          'SELECT * FROM x',
          'INSERT INTO x (k,v) VALUES (7,7)',
          'DELETE FROM x WHERE k=7',
          'INSERT INTO nowhere (k) VALUES (1)',
          'INSERT INTO x (k,nothing) VALUES (1,1)',
          'INSERT INTO x (k) VALUES (9)',
          'INSERT INTO x (k,v) VALUES (3000000000,1)',
          'UPDATE x SET v=NULL WHERE k=1',
        ])
        .replace('SELECT *', 'SELECT k,v');
  }
}

/** Several statements in one command, with what they counted. */
function several(dice: TestRandom): string {
  const first = change(dice);
  const second = dice.chance(30)
    ? 'SET @r=IF(ROW_COUNT()=1,1,18446744073709551615+(ROW_COUNT()+2))'
    : 'SET @r=ROW_COUNT()';
  return `${first};${second};SELECT @r AS r,@@in_transaction AS open`;
}
