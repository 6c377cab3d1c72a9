/**
 * Mistakes that the simulator must find (RELIABILITY §2.5): each replaces one snippet of a production file while it is
 * loaded. A snippet that is not there exactly once fails the run, so no mutant rots unseen.
 */

/** A mistake. */
export interface Mutant {
  readonly name: string;
  /** What it breaks. */
  readonly why: string;
  /** From the root of the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Changed with it: a second line of defence that would hide the first one's hole. */
  readonly also?: readonly Edit[];
  /** Shows only when a seed runs twice. */
  readonly showsTwice?: boolean;
}

/** One snippet of one file, and what stands there instead. */
export type Edit = Pick<Mutant, 'file' | 'find' | 'replace'>;

/** Without this the canary refuses every server whose guard does not guard, and no run begins. */
const withoutCanary: Edit = {
  file: 'src/adapters/mysql-sink/canary.ts',
  find: '  await canary.run();',
  replace: '  void canary;',
};
const guardFile = 'src/adapters/mysql-sink/slot.ts';
const guardText =
  '`UPDATE ${tables.slot} SET guard=IF(seq=${previousSeq} AND token=${token},${token},${refuse}),` +';

/** The catalogue; names of RELIABILITY where it has them. */
export const mutants: readonly Mutant[] = [
  {
    name: 'M1',
    why: 'the guard does not look at the token: a writer that lost its slot goes on',
    file: guardFile,
    find: guardText,
    replace: '`UPDATE ${tables.slot} SET guard=IF(seq=${previousSeq},guard,${refuse}),` +',
    also: [withoutCanary],
  },
  // A batch is held up by the network and its connection breaks; the row read back is untouched, so the batch is sent again
  // and commits, and the next one does; then the first packet arrives. Ending the old connection does not help when the
  // process is cut off just then. A packet that arrives before the next batch repeats what is there, which nobody can see.
  {
    name: 'M2',
    why: 'the guard does not look at seq: a packet that comes twice is applied twice',
    file: guardFile,
    find: guardText,
    replace: '`UPDATE ${tables.slot} SET guard=IF(token=${token},${token},${refuse}),` +',
    also: [withoutCanary],
  },
  {
    name: 'M4',
    why: 'a dispatcher begins where it was told to, not where its slots stand when they are raised',
    file: 'actors/dispatcher/dispatcher.ts',
    find: 'const { startTs: afterTs, redoTs } = resumeOf(lanes, 0);',
    replace: 'const afterTs = state.props.startTs; const { redoTs } = resumeOf(lanes, 0);',
  },
  // A stranger locks a row of a batch for longer than the session waits: 1205 takes back that statement only. The session
  // goes to another span of the thread, whose BEGIN commits the guard and what came before the locked row: the row read
  // back says that all was committed.
  {
    name: 'M5',
    why: 'a session goes on after an error without a ROLLBACK: the next BEGIN commits half a transaction',
    file: 'src/adapters/mysql-sink/transaction.ts',
    find: '      await this.#parts.sessions.bury(session);',
    replace: '      if (!session.connection.isOpen) await this.#parts.sessions.bury(session);',
  },
  // Either the guard refuses somebody who was replaced, and the changes behind it commit without it; or a lock wait ends in
  // the middle, and the transaction commits without that statement; or it is a deadlock's victim, and what follows commits
  // statement by statement.
  {
    name: 'M6',
    why: 'statements do not wait for each other: what stands behind one that failed runs all the same',
    file: 'src/adapters/mysql-sink/transaction.ts',
    find: '    const to = commandEnd(statements, from, session);',
    replace: '    const to = Math.min(from + 1, commandEnd(statements, from, session));',
    also: [
      {
        file: 'src/adapters/mysql-sink/transaction.ts',
        find: '    if (answer.error !== null) {\n      const at = from',
        replace:
          '    if (answer.error !== null && to === statements.length) {\n      const at = from',
      },
      {
        file: 'src/adapters/mysql-sink/transaction.ts',
        find: 'if (expected !== session.connection.inTransaction)',
        replace: 'if (expected !== expected)',
      },
    ],
  },
  {
    name: 'M8',
    why: 'the checkpoint advances when a batch is sent, before it is committed',
    file: 'actors/dispatcher/batches.ts',
    find: "if (state.inFlight !== null || state.phase === 'raising') return [state, effects];",
    replace:
      "if (state.phase === 'raising') return [state, effects]; if (state.inFlight !== null) return report(state, effects);",
  },
  {
    name: 'M9',
    why: 'the event service keeps an incomplete group after a disconnect',
    file: 'actors/event-service/event-service.ts',
    find: "    case 'DiscardIncomplete':\n      discard(state, effects);",
    replace: "    case 'DiscardIncomplete':\n      if (state.quota < 0) discard(state, effects);",
  },
  {
    name: 'M11',
    why: 'a dispatcher that is scheduled again keeps its token',
    file: 'actors/maintainer/placing.ts',
    find: 'const token = state.operators.mint();',
    replace: 'const token = state.props.epoch * 2 ** 20 + 1 + 0 * state.operators.mint();',
  },
  {
    name: 'M10',
    why: 'epoch 0 is taken for any epoch, from anybody: what a node without epochs says governs',
    file: 'src/kernel/door.ts',
    find: '  switch (guard) {',
    replace: '  if (envelope.epoch === 0) return null;\n  switch (guard) {',
  },
  {
    name: 'token-kept-on-move',
    why: 'a table that is moved to another node keeps the token it had',
    file: 'actors/maintainer/span-operator.ts',
    find: "    const token = mint();\n    assert(token > origin.token, 'a fresh token');",
    replace: '    const { token } = origin;',
  },
  {
    name: 'ddl-before-drain',
    why: 'a DDL runs while what comes before it is still being applied',
    file: 'actors/maintainer/barrier.ts',
    find: 'if (ts < phase.resolved.ts || !isEveryoneThere(state, phase.ddl.ts)) return effects;',
    replace: 'if (!isEveryoneThere(state, phase.ddl.ts)) return effects;',
  },
  {
    name: 'own-chance',
    why: 'an actor draws chance that no seed knows of: two runs of a seed differ',
    file: 'actors/log-puller/log-puller.ts',
    find: '(0.5 + env.random() / 2)',
    replace: '(0.5 + Math.random() / 2)',
    showsTwice: true,
  },
  {
    name: 'epoch-kept',
    why: 'a maintainer starts again under the epoch it had',
    file: 'actors/coordinator/feed-writes.ts',
    find: '? used + 1 : record.epoch',
    replace: '? Math.max(used, 1) : record.epoch',
  },
  {
    name: 'F4',
    why: 'a second attempt begins while the epoch of the first is being stored',
    file: 'actors/coordinator/feed-operators.ts',
    find: 'return !this.#operators.has(id) && !this.#reserved.has(id);',
    replace: 'return !this.#operators.has(id);',
    also: [
      {
        file: 'actors/coordinator/feed-placing.ts',
        find: '      state.operators.isFree(feed.id) &&\n      !isWriting(state, feed.id),',
        replace: '      state.operators.isFree(feed.id),',
      },
    ],
  },
  {
    name: 'F8',
    why: 'whatever any maintainer says of the changefeed is taken for the word of the present one',
    file: 'actors/coordinator/feed-course.ts',
    find: 'if (feed === undefined || current === null || !isOf(current, word)) {',
    replace: 'if (feed === undefined || current === null) {',
  },
  {
    name: 'F12',
    why: 'a new coordinator keeps a maintainer of an epoch that is past',
    file: 'actors/coordinator/reports.ts',
    find: 'if (word.epoch === epochs.get(word.id) && word.isWorking) {',
    replace: 'if (epochs.has(word.id) && word.isWorking) {',
  },
  {
    name: 'F13',
    why: 'a new coordinator does not wait until a stale maintainer has stopped',
    file: 'actors/coordinator/feed-placing.ts',
    find: 'state.operators.pushStop(staleStop(word), new Set(state.nodes));',
    replace: 'void staleStop(word);',
  },
  {
    name: 'F40',
    why: 'a changefeed that is paused or removed keeps its tokens: what a late node still sends commits',
    file: 'actors/maintainer/saving.ts',
    find: 'if (!phase.rests || state.isStopAsked',
    replace: 'if (true || state.isStopAsked',
  },
  {
    name: 'replay-not-idempotent',
    why: 'a batch that was cut is applied again as if nothing of it were there',
    file: 'actors/dispatcher/batches.ts',
    find: 'idempotent: recovering,',
    replace: 'idempotent: false && recovering,',
  },
];
