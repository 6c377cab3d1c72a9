import { must } from '#src/base/assert.ts';
import { fail } from '#src/base/failure.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import { spanRange, spansOverlap, wholeSpan } from '#src/model/span.ts';
import { rowsOf } from './connection.ts';
import { encodePosition, readLane } from './slot-position.ts';
import { feedSlot, readSlotRow, slotColumns, slotIs } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';
import { Takeover, blockedBy } from './takeover.ts';

import type { Resume } from '#src/model/lane-resume.ts';
import type { PartProgress, SinkRequest, SlotState } from '#src/ports/sink.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { SlotRow } from './slot.ts';
import type { TakeoverStep } from './takeover.ts';
import type { WriterParts } from './transaction.ts';

/** A request to divide slots anew. */
export type ReslotRequest = Extract<SinkRequest, { kind: 'Reslot' }>;

const doing = 'divide the slots of a table';

/** A slot row with the span it belongs to. */
interface NamedRow extends SlotRow {
  readonly span: string;
}

/** A source: its rows, and how far its keys are applied. */
interface Source {
  readonly span: string;
  readonly rows: readonly NamedRow[];
  readonly lanes: readonly SlotState[];
  readonly resume: Resume;
}

/** A row as it is to be; `slot` null: a new one. */
interface NextRow {
  readonly slot: number | null;
  readonly span: string;
  readonly lane: number;
  readonly pos: string;
}

/**
 * Divides the slots of one table anew (FENCE §1.2): one transaction locks the rows of all spans concerned, gives them the
 * fresh token, and lets the new spans go on where the old ones stand, as found under the lock. The rows of a source become
 * those of a span that goes on for it; what is left over is kept under a name of its own for the next time, because
 * nobody may delete slots.
 *
 * A joined span begins where its hindmost part stands, and remembers how far each other part was: what was applied is never
 * applied again.
 */
export class Reslotter {
  readonly #sessions: Sessions;
  readonly #tables: MetaTables;
  readonly #gate: SubmitGate | undefined;
  readonly #takeover: Takeover;
  readonly #nextName: () => string;

  constructor(parts: WriterParts, nextName: () => string) {
    this.#sessions = parts.sessions;
    this.#tables = parts.tables;
    this.#gate = parts.gate;
    this.#takeover = new Takeover(parts);
    this.#nextName = nextName;
  }

  /** Does it, or finds it done. */
  async reslot(request: ReslotRequest): Promise<void> {
    const { changefeed, from, to } = request;
    const spans = [...from, ...to, spareSpan(must(from[0], 'a span'))];
    await this.#takeover.run({ changefeed, spans }, (session) => this.#try(session, request));
  }

  async #try(session: SinkSession, request: ReslotRequest): Promise<TakeoverStep<null>> {
    const { changefeed, from, to } = request;
    const cf = literal(changefeed);
    const spare = spareSpan(must(from[0], 'a span'));
    const names = [...from, ...to, spare].map(literal).join(',');
    const feedSql = `SELECT ${slotColumns},span FROM ${this.#tables.slot} WHERE ${slotIs({ changefeed, slot: feedSlot })} FOR UPDATE`;
    const rowsSql = `SELECT ${slotColumns},span FROM ${this.#tables.slot} WHERE cf=${cf} AND span IN (${names}) ORDER BY slot FOR UPDATE`;
    const topSql = `SELECT COALESCE(MAX(slot),0) AS top FROM ${this.#tables.slot} WHERE cf=${cf}`;
    const answer = await session.attempt(['BEGIN', feedSql, rowsSql, topSql].map(sqlBytes));
    const blocked = blockedBy(session, answer, doing);
    if (blocked !== null) return blocked;
    const feed = rowsOf(answer, 1).map(readSlotRow)[0];
    if (feed?.token !== request.token) {
      return fail('SINK_FENCED', 'the feed is not raised with this token', {
        detail: { token: feed?.token ?? 0, mine: request.token },
      });
    }
    const rows = rowsOf(answer, 2).map((row) => ({
      ...readSlotRow(row),
      span: String(row['span']),
    }));
    const top = Number(rowsOf(answer, 3)[0]?.['top']);
    const next = nextRows(request, rows, this.#nextName());
    const statements = next === null ? ['ROLLBACK'] : this.#statements(request, next, top);
    const changed = await session.attempt(statements.map(sqlBytes), this.#gate);
    return blockedBy(session, changed, doing) ?? { kind: 'Done', value: null };
  }

  #statements(request: ReslotRequest, next: readonly NextRow[], top: number): string[] {
    const { changefeed, spanToken: token } = request;
    const cf = literal(changefeed);
    const owner = literal(this.#sessions.instance);
    const statements: string[] = [];
    // First under names that nobody has: two rows may be about to change theirs.
    for (const { slot } of next) {
      if (slot === null) continue;
      statements.push(
        `UPDATE ${this.#tables.slot} SET span=${literal(`moving:${slot}`)} WHERE cf=${cf} AND slot=${slot}`,
      );
    }
    let free = top;
    for (const { slot, span, lane, pos } of next) {
      statements.push(
        slot === null
          ? `INSERT INTO ${this.#tables.slot}(cf,slot,token,guard,seq,pos,span,lane,owner) VALUES (${cf},${++free},${token},${token},0,${literal(pos)},${literal(span)},${lane},${owner})`
          : `UPDATE ${this.#tables.slot} SET token=${token},guard=${token},owner=${owner},pos=${literal(pos)},span=${literal(span)},lane=${lane} WHERE cf=${cf} AND slot=${slot}`,
      );
    }
    return [...statements, 'COMMIT'];
  }
}

/** Under this name rows wait that no span of a table needs. */
function spareSpan(span: string): string {
  return `spare:${wholeSpan(span)}`;
}

/** All rows concerned as they are to be; null when it was done before. */
function nextRows(
  request: ReslotRequest,
  rows: readonly NamedRow[],
  by: string,
): readonly NextRow[] | null {
  const { from, to, spanToken } = request;
  const isThere = (span: string): boolean => rows.some((row) => row.span === span);
  const late = rows.find((row) => row.token > spanToken);
  if (late !== undefined && !(to.every(isThere) && !from.some(isThere))) {
    return fail('SINK_REFUSED', `the slots of ${late.span} were divided again meanwhile`, {
      scope: 'Table',
      detail: { token: late.token, mine: spanToken },
    });
  }
  if (to.every(isThere) && !from.some(isThere)) return null;
  if (!from.every(isThere) || to.some(isThere)) {
    return fail('SINK_REFUSED', `the slots of ${from.join()} are not divided as expected`, {
      scope: 'Table',
    });
  }
  const sources = from.map((span) => sourceOf(span, rows));
  const spareRows = rows.filter((row) => row.span === spareSpan(from[0]!));
  const unused = [...sources];
  const next: NextRow[] = [];
  const spares = [...spareRows];
  for (const span of to) {
    const over = sources.filter((source) => spansOverlap(source.span, span));
    const base = over.reduce((least, one) =>
      one.resume.startTs < least.resume.startTs ? one : least,
    );
    const at = unused.indexOf(base);
    if (at >= 0) unused.splice(at, 1);
    for (const lane of base.lanes) {
      const pos = positionOf(lane, base, over, by);
      // A position never goes back, in no row.
      const spare = spares.findIndex((row) => readLane(row).ts <= lane.ts);
      const slot =
        at >= 0 ? lane.slot : spare < 0 ? null : must(spares.splice(spare, 1)[0], 'a row').slot;
      next.push({ slot, span, lane: lane.lane, pos });
    }
  }
  const left = [...spares, ...unused.flatMap((source) => source.rows)];
  return [
    ...next,
    ...left.map(({ slot, pos }, lane) => ({ slot, span: spareSpan(from[0]!), lane, pos })),
  ];
}

function sourceOf(span: string, all: readonly NamedRow[]): Source {
  const rows = all.filter((row) => row.span === span).toSorted((a, b) => a.lane - b.lane);
  const lanes = rows.map(readLane);
  return { span, rows, lanes, resume: resumeOf(lanes, 0) };
}

/** The lane's own position, and what of the other sources was applied beyond it. */
function positionOf(lane: SlotState, base: Source, over: readonly Source[], by: string): string {
  const parts: PartProgress[] = over.flatMap((source) =>
    source.lanes.flatMap((one) => one.parts ?? []),
  );
  let redoTs = lane.redoTs ?? 0;
  for (const source of over) {
    if (source === base) continue;
    const { startTs, redoTs: cutTs } = source.resume;
    parts.push({ ...spanRange(source.span), ts: startTs });
    // What a cut batch of that source may have left half done is done again, as final states.
    if (cutTs > startTs) redoTs = Math.max(redoTs, cutTs);
  }
  const { ts, base: from, lanes, batch } = lane;
  return encodePosition({ ts, gtid: '', base: from, lanes, redoTs, parts, by: batch ?? by });
}
