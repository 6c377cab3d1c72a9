/** Names, statements and settings that are allowed and seldom met. */
import type { SqlServer } from '#test/servers/sql-server.ts';

/** The databases that {@link makeOddities} fills. */
export const oddSchemas = ['odd', 'odd two', 'o`dd', 'ödd', 'a.b', 'a'];

/** Names that need quoting, in every statement kind that carries one. */
const nameStatements = [
  'CREATE DATABASE odd',
  'CREATE DATABASE `odd two`',
  'CREATE DATABASE `o``dd` CHARACTER SET latin1',
  'CREATE DATABASE `ödd`',
  'CREATE DATABASE `a.b`',
  'CREATE DATABASE a',
  'CREATE TABLE `a.b`.c (id INT PRIMARY KEY, v INT)',
  'CREATE TABLE a.`b.c` (id INT PRIMARY KEY, v INT)',
  'INSERT INTO `a.b`.c VALUES (1, 1), (2, 2)',
  'INSERT INTO a.`b.c` VALUES (1, 10), (3, 30)',
  'UPDATE `a.b`.c SET v = v + 1',
  'DELETE FROM a.`b.c` WHERE id = 1',
  'CREATE TABLE `odd two`.`t``ick "x" \'y\'` (`se lect` INT PRIMARY KEY, `col``umn` VARCHAR(20) CHARACTER SET utf8mb4, `ключ` INT, `--` INT)',
  "INSERT INTO `odd two`.`t``ick \"x\" 'y'` VALUES (1, 'a''b\\\\', 2, 3), (2, NULL, NULL, NULL)",
  "UPDATE `odd two`.`t``ick \"x\" 'y'` SET `ключ` = 7, `--` = 8, `col``umn` = 'née' WHERE `se lect` = 2",
  'CREATE TABLE `ödd`.`表` (`id` INT PRIMARY KEY, `値` TEXT CHARACTER SET utf8mb4)',
  "INSERT INTO `ödd`.`表` VALUES (1, '文字')",
  'RENAME TABLE `ödd`.`表` TO `o``dd`.`moved/here`',
  "INSERT INTO `o``dd`.`moved/here` VALUES (2, 'after')",
  'CREATE TABLE `o``dd`.`select` (`from` INT, `where` INT, PRIMARY KEY (`from`))',
  'INSERT INTO `o``dd`.`select` VALUES (1, 2)',
  'ALTER TABLE `o``dd`.`select` CHANGE `where` `group by` BIGINT',
  'UPDATE `o``dd`.`select` SET `group by` = 5',
];

/** Statements that both makes know; run one by one on one session. */
const bothStatements = [
  'USE odd',
  // Sessions of other settings.
  "SET SESSION sql_mode = 'ANSI_QUOTES'",
  'CREATE TABLE "quoted" ("id" INT PRIMARY KEY, "v" VARCHAR(20) DEFAULT \'"\')',
  'INSERT INTO "quoted" ("id") VALUES (1)',
  "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
  "CREATE TABLE slashes (id INT PRIMARY KEY, v VARCHAR(20) DEFAULT '\\') COMMENT 'a\\'",
  'INSERT INTO slashes (id) VALUES (1)',
  "INSERT INTO slashes VALUES (2, '\\n')",
  "SET SESSION sql_mode = ''",
  'SET NAMES latin1',
  'CREATE TABLE latin (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1)',
  'SET NAMES utf8mb4',
  "INSERT INTO latin VALUES (1, 'é')",
  "SET SESSION time_zone = '+09:00'",
  "CREATE TABLE zoned (id INT PRIMARY KEY, t TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00', d DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
  'INSERT INTO zoned (id) VALUES (1), (2)',
  'UPDATE zoned SET id = 3 WHERE id = 2',
  "ALTER TABLE zoned ADD COLUMN u TIMESTAMP NOT NULL DEFAULT '2024-06-01 12:00:00'",
  "SET SESSION time_zone = '+00:00'",
  // What a trigger and a routine change is in the log; they must not work a second time.
  'CREATE TABLE audit (id INT PRIMARY KEY AUTO_INCREMENT, what INT)',
  'CREATE TABLE watched (id INT PRIMARY KEY, n INT)',
  'CREATE TRIGGER watch AFTER INSERT ON watched FOR EACH ROW INSERT INTO audit (what) VALUES (NEW.id)',
  'INSERT INTO watched VALUES (1, 1), (2, 2)',
  'CREATE PROCEDURE fill() INSERT INTO watched VALUES (50, 50), (51, 51)',
  'CALL fill()',
  'DROP TRIGGER watch',
  'DROP PROCEDURE fill',
  'INSERT INTO watched VALUES (3, 3)',
  'CREATE EVENT later ON SCHEDULE EVERY 1 DAY DO DELETE FROM watched',
  'DROP EVENT later',
  // Temporary tables are not in the log, what is taken from them is.
  'CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY)',
  'INSERT INTO passing VALUES (70), (71)',
  'INSERT INTO watched SELECT id, 0 FROM passing',
  'DROP TEMPORARY TABLE passing',
  // Columns that nobody writes.
  'CREATE TABLE computed (id INT PRIMARY KEY, a INT, v INT GENERATED ALWAYS AS (a * 2) VIRTUAL, s INT GENERATED ALWAYS AS (a * 3) STORED, UNIQUE (s))',
  'INSERT INTO computed (id, a) VALUES (1, 1), (2, 2)',
  'UPDATE computed SET a = a + 10',
  'CREATE TABLE hidden (id INT PRIMARY KEY, h INT DEFAULT 5 INVISIBLE, v INT)',
  'INSERT INTO hidden (id, h, v) VALUES (1, 2, 3), (2, 4, 5)',
  'INSERT INTO hidden VALUES (3, 6)',
  'UPDATE hidden SET h = 9 WHERE id = 1',
  'CREATE TABLE checked (id INT PRIMARY KEY, v INT, CONSTRAINT positive CHECK (v > 0))',
  'INSERT INTO checked VALUES (1, 1)',
  // Partitions.
  'CREATE TABLE parts (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN MAXVALUE)',
  'INSERT INTO parts VALUES (1, 1), (11, 11), (21, 21)',
  'ALTER TABLE parts TRUNCATE PARTITION p1',
  'ALTER TABLE parts DROP PARTITION p0',
  'CREATE TABLE swapped (id INT PRIMARY KEY, v INT)',
  'INSERT INTO swapped VALUES (12, 12)',
  'ALTER TABLE parts EXCHANGE PARTITION p1 WITH TABLE swapped',
  'UPDATE parts SET v = v + 1',
  'CREATE TABLE plain (id INT PRIMARY KEY, v INT) ENGINE=InnoDB',
  'INSERT INTO plain VALUES (1, 1), (2, 2), (3, 3)',
  'UPDATE plain SET v = v + 1 WHERE id > 1',
  'DELETE FROM plain WHERE id = 1',
  'ALTER TABLE plain ENGINE=InnoDB, ROW_FORMAT=COMPRESSED',
  'INSERT INTO plain VALUES (9, 9)',
  // Nothing, or nothing yet.
  'DROP TABLE IF EXISTS never_was',
  'DROP VIEW IF EXISTS never_was',
  'CREATE TABLE IF NOT EXISTS plain (x INT)',
  'CREATE TABLE brief (id INT PRIMARY KEY)',
  'INSERT INTO brief VALUES (1)',
  'DROP TABLE brief',
  'CREATE TABLE brief (name VARCHAR(10) CHARACTER SET utf8mb4 PRIMARY KEY, n INT)',
  "INSERT INTO brief VALUES ('x', 1)",
  'CREATE DATABASE gone',
  'CREATE TABLE gone.t (id INT PRIMARY KEY)',
  'INSERT INTO gone.t VALUES (1)',
  'DROP DATABASE gone',
  'CREATE USER somebody@localhost',
  'GRANT SELECT ON odd.* TO somebody@localhost',
  'DROP USER somebody@localhost',
  'ANALYZE TABLE plain',
  'OPTIMIZE TABLE plain',
  'FLUSH TABLES',
  '/* first */ CREATE /* in */ TABLE /* the */ comments -- way\n (id INT PRIMARY KEY # of\n, v INT)',
  'INSERT INTO comments VALUES (1, 1)',
  // A transaction with savepoints, and one that came to nothing.
  'BEGIN',
  'INSERT INTO comments VALUES (2, 2)',
  'SAVEPOINT a',
  'INSERT INTO comments VALUES (3, 3)',
  'ROLLBACK TO a',
  'INSERT INTO comments VALUES (4, 4)',
  'COMMIT',
  'BEGIN',
  'DELETE FROM comments',
  'ROLLBACK',
  "XA START 'x'",
  'INSERT INTO comments VALUES (5, 5)',
  "XA END 'x'",
  "XA PREPARE 'x'",
  "XA COMMIT 'x'",
  "XA START 'y'",
  'INSERT INTO comments VALUES (6, 6)',
  "XA END 'y'",
  "XA PREPARE 'y'",
  "XA ROLLBACK 'y'",
  'INSERT INTO comments VALUES (7, 7)',
];

const mariadbStatements = [
  'CREATE OR REPLACE TABLE brief (id INT PRIMARY KEY, v UUID, i INET6)',
  "INSERT INTO brief VALUES (1, UUID(), '::1')",
  'CREATE OR REPLACE TABLE brief AS SELECT seq AS id FROM seq_1_to_10',
  'INSERT INTO brief VALUES (11)',
  'ALTER TABLE IF EXISTS brief ADD COLUMN IF NOT EXISTS v INT',
];

/** Runs all of it on `server`, one statement after another. */
export async function makeOddities(server: SqlServer): Promise<void> {
  const connection = await server.connect({ charset: 'utf8mb4' });
  const own = server.flavor === 'mariadb' ? mariadbStatements : [];
  try {
    for (const sql of [...nameStatements, ...bothStatements, ...own]) await connection.query(sql);
  } finally {
    await connection.end();
  }
}
