/** Statements are cut, relaxed and taken back by the lane writer alone; rows here are plain text. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LaneWriter } from '#src/adapters/mysql-sink/batch/lane-writer.ts';

import type { StatementShape } from '#src/adapters/mysql-sink/batch/lane-writer.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const shape = (more: Partial<StatementShape> = {}): StatementShape => ({
  head: bytes('I '),
  tail: bytes(';'),
  rowCountMax: 100,
  rowCountEach: 0,
  ...more,
});

function row(lane: LaneWriter, form: StatementShape, text: string, isRelaxed = false): void {
  lane.beginRow(form);
  lane.out.ascii(text);
  lane.isRelaxed = isRelaxed;
  lane.endRow();
}

function taken(lane: LaneWriter): string[] {
  return lane.take().map((statement) => Buffer.from(statement).toString('latin1'));
}

describe('a lane writer', () => {
  it('joins rows of one shape and ends the statement when another begins', () => {
    const lane = new LaneWriter(1000);
    const [a, b] = [shape(), shape({ head: bytes('D ') })];
    row(lane, a, '1');
    row(lane, a, '2');
    row(lane, b, '3');
    row(lane, a, '4');
    assert.deepEqual(taken(lane), ['I 1,2;', 'D 3;', 'I 4;']);
    assert.equal(lane.writtenRowCount, 4);
    assert.deepEqual(taken(lane), []);
  });

  it('ends a statement at its row count and checks what it changed', () => {
    const lane = new LaneWriter(1000);
    const form = shape({ rowCountMax: 2, rowCountEach: 2 });
    for (const text of ['1', '2', '3']) row(lane, form, text);
    assert.deepEqual(
      taken(lane).map((sql) => sql.replace(/,1844.*/, '')),
      ['I 1,2;', 'SET @sluice_ok=IF(ROW_COUNT()=4,1', 'I 3;', 'SET @sluice_ok=IF(ROW_COUNT()=2,1'],
    );
  });

  it('gives a row that does not fit a statement of its own, and refuses one that never fits', () => {
    const lane = new LaneWriter(10);
    const form = shape();
    row(lane, form, '123');
    row(lane, form, '4567');
    row(lane, form, '8');
    assert.deepEqual(taken(lane), ['I 123;', 'I 4567;', 'I 8;']);
    assert.throws(() => {
      row(lane, form, '12345678');
    }, /SINK_ROW_TOO_LARGE: a row needs 11 bytes to apply changes, and the downstream takes 10: raise its max_allowed_packet/);
  });

  it('wraps only the row that needs it in a relaxed session', () => {
    const lane = new LaneWriter(1000);
    const form = shape();
    row(lane, form, '1');
    row(lane, form, '2', true);
    row(lane, form, '3');
    const statements = taken(lane);
    assert.deepEqual([statements[0], statements[2], statements[4]], ['I 1;', 'I 2;', 'I 3;']);
    assert.match(statements[1]!, /sql_mode=REPLACE/);
    assert.match(statements[3]!, /sql_mode=@sluice_mode/);
    assert.equal(statements.length, 5);
  });

  it('takes back what was written since a mark', () => {
    const lane = new LaneWriter(1000);
    row(lane, shape(), '1');
    const mark = lane.mark();
    row(lane, shape(), '2');
    lane.flush();
    row(lane, shape(), '3');
    lane.rewind(mark);
    assert.deepEqual(taken(lane), ['I 1;']);
    assert.equal(lane.writtenRowCount, 1);
  });
});
